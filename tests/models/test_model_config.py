"""The model section: defaults, refusals, and nothing heavy at import."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from qfedfm.models import ModelConfig
from qfedfm.models import precision as precision_room
from qfedfm.models.precision import resolve_precision


def test_defaults_are_those_of_the_documented_file() -> None:
    config = ModelConfig()
    assert config.plain() == {
        "backbone": "minilm",
        "adapter": {
            "kind": "lora",
            "rank": 8,
            "alpha": 16.0,
            "targets": ["query", "value"],
            "last_layers": None,
            "dropout": 0.0,
            "rslora": False,
            "dora": False,
        },
        "head": {"kind": "linear", "start": "random"},
        "precision": "auto",
    }


@pytest.mark.parametrize(
    "section",
    [
        {"backbone": " "},
        {"precision": "float16"},
        {"adapter": {"kind": "lora", "rank": 0}},
        {"adapter": {"kind": "lora", "alpha": float("nan")}},
        {"adapter": {"kind": "lora", "dropout": 1.0}},
        {"adapter": {"kind": "lora", "targets": []}},
        {"adapter": {"kind": "lora", "last_layers": 0}},
        {"adapter": {"kind": "loraa"}},
        {"head": {"kind": "quantum", "qubits": 0}},
        {"head": {"kind": "quantum", "layers": 0}},
        {"head": {"kind": "quantum", "family": "strongly"}},
        {"head": {"kind": "quantum", "options": {"nonsense": 1}}},
        {"head": {"kind": "quantum", "executor": "abacus"}},
        {"head": {"kind": "linear", "qubits": 4}},
        {"head": {"kind": "mlp", "hidden": 0}},
        {"heads": {}},
    ],
)
def test_wrong_sections_are_refused(section: dict[str, object]) -> None:
    with pytest.raises((ValidationError, ValueError)):
        ModelConfig.model_validate(section)


def test_an_unknown_family_names_the_nearest() -> None:
    with pytest.raises(ValidationError, match="did you mean 'strongly_entangling'"):
        ModelConfig.model_validate({"head": {"kind": "quantum", "family": "strongly_entangled"}})


def test_importing_and_validating_loads_nothing_heavy() -> None:
    code = (
        "import sys; from qfedfm.models import ModelConfig, resolve_precision;"
        "ModelConfig.model_validate({'head': {'kind': 'quantum'}}); resolve_precision('auto', 'cpu');"
        "heavy = {'torch', 'transformers', 'peft', 'pennylane', 'qiskit', 'numba', 'sklearn', 'pandas'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("machine", "flags", "expected"),
    [
        ("x86_64", {"avx2"}, "float32"),
        ("x86_64", {"avx512_bf16"}, "bfloat16"),
        ("x86_64", {"amx_bf16"}, "bfloat16"),
        ("aarch64", {"bf16"}, "bfloat16"),
        ("aarch64", {"asimd"}, "float32"),
    ],
)
def test_auto_follows_the_flags(
    machine: str, flags: set[str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision_room, "processor_flags", lambda: frozenset(flags))
    monkeypatch.setattr(precision_room.platform, "machine", lambda: machine)
    assert resolve_precision("auto", "cpu") == expected
    assert resolve_precision("float32", "cpu") == "float32"


def test_bfloat16_without_hardware_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(precision_room, "processor_flags", frozenset)
    assert resolve_precision("bfloat16", "cpu") == "bfloat16"
    assert "emulates" in caplog.text
    with pytest.raises(ValueError, match=r"model\.precision"):
        resolve_precision("half", "cpu")

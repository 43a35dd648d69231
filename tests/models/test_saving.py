"""What is saved predicts again without the data; what is cached is never wrong."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import Data, sentences, tiny

from qfedfm.core.errors import RequestError
from qfedfm.models import ModelConfig, load_model_from_folder

HEADS = ["linear", "mlp", "quantum", "matched_mlp", "frozen_quantum", "unentangled", "random_features"]
LORA = {"kind": "lora", "last_layers": 1}


def moved(model: Any) -> torch.Tensor:
    vector: torch.Tensor = model.initial()
    return vector + 0.1 * torch.randn(vector.shape, generator=torch.Generator().manual_seed(9))


@pytest.mark.parametrize("adapter", [{"kind": "none"}, LORA], ids=["none", "lora"])
@pytest.mark.parametrize("kind", HEADS)
def test_a_loaded_model_gives_the_logits_of_the_run(
    kind: str, adapter: dict[str, Any], make: Callable[..., Any], tmp_path: Path
) -> None:
    model = make(head={"kind": kind}, adapter=adapter)
    vector, texts = moved(model), sentences(24)
    model.save(vector, tmp_path)
    with torch.no_grad():
        in_run = model.logits(model.leaves(vector[None]), torch.arange(24)[None])[0].numpy()
    loaded = load_model_from_folder(tmp_path)
    np.testing.assert_allclose(loaded.logits(texts), in_run, atol=1e-4)
    assert torch.equal(loaded.vector, vector)
    probabilities = loaded.predict_proba(texts)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    label, probability = loaded.predict(texts[:1])[0]
    assert label == ("bad", "good")[int(in_run[0].argmax())]
    assert probability == pytest.approx(probabilities[0].max())
    assert loaded.predict([]) == []


def test_shots_and_executor_replace_those_of_the_run(make: Callable[..., Any], tmp_path: Path) -> None:
    model = make(head={"kind": "quantum", "qubits": 2})
    model.save(moved(model), tmp_path)
    texts = sentences(5)
    exact = load_model_from_folder(tmp_path, executor="torch").logits(texts)

    def sampled(seed: int) -> np.ndarray:
        generator = torch.Generator().manual_seed(seed)
        return load_model_from_folder(tmp_path, shots=200, generator=generator).logits(texts)

    np.testing.assert_array_equal(sampled(1), sampled(1))
    assert 0 < np.abs(sampled(1) - exact).max() < 0.5
    make(head={"kind": "linear"}).save(make(head={"kind": "linear"}).initial(), tmp_path / "linear")
    with pytest.raises(RequestError, match="need a head with a circuit"):
        load_model_from_folder(tmp_path / "linear", shots=100)


def test_another_backbone_is_noticed(make: Callable[..., Any], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tiny("bert", tmp_path / "mine")
    config = {"backbone": str(folder), "adapter": {"kind": "none"}, "precision": "float32"}
    model = make()
    model.save(model.initial(), tmp_path / "run")
    load_model_from_folder(tmp_path / "run", ModelConfig.model_validate(config))
    tensors = load_file(folder / "model.safetensors")
    save_file(
        {n: t + 1e-3 for n, t in tensors.items()}, folder / "model.safetensors", metadata={"format": "pt"}
    )
    with pytest.raises(RequestError, match="not those that the model"):
        load_model_from_folder(tmp_path / "run", ModelConfig.model_validate(config))


def test_damaged_or_missing_files_are_refused(make: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"no model\.json"):
        load_model_from_folder(tmp_path)
    model = make(adapter=LORA)
    model.save(model.initial(), tmp_path)
    head = tmp_path / "head.safetensors"
    content = head.read_bytes()
    for damaged in (b"", content[:-4], b"x" * 100):
        head.write_bytes(damaged)
        with pytest.raises(RequestError, match=r"head\.safetensors"):
            load_model_from_folder(tmp_path)
    head.write_bytes(content)
    description = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps(description | {"label_names": ["a", "b", "c"]}))
    with pytest.raises(RequestError, match="does not hold the head"):
        load_model_from_folder(tmp_path)
    (tmp_path / "model.json").write_text(json.dumps(description))
    (tmp_path / "adapter" / "adapter_model.safetensors").unlink()
    with pytest.raises(RequestError, match="adapter_model"):
        load_model_from_folder(tmp_path)


@pytest.mark.parametrize("adapter", [{"kind": "none"}, LORA], ids=["none", "lora"])
def test_a_damaged_cache_is_computed_again(
    adapter: dict[str, Any], make: Callable[..., Any], own_cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def logits() -> torch.Tensor:
        model = make(adapter=adapter)
        with torch.no_grad():
            found: torch.Tensor = model.logits(model.leaves(moved(model)[None]), torch.arange(24)[None])
        return found

    first = logits()
    (file,) = own_cache.iterdir()
    assert torch.equal(logits(), first)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 64
    for damaged in (bytes(content), bytes(content[:100]), b""):
        file.write_bytes(damaged)
        assert torch.equal(logits(), first)
    assert "damaged" in caplog.text


@pytest.mark.parametrize("change", ["texts", "max_length", "precision", "layer", "backbone"])
def test_the_cache_is_keyed_by_all_it_depends_on(
    change: str, make: Callable[..., Any], own_cache: Path
) -> None:
    make(adapter=LORA)
    other: dict[str, Any] = {
        "texts": {"data": Data(sentences(24, seed=1))},
        "max_length": {"max_length": 9},
        "precision": {"precision": "bfloat16"},
        "layer": {"adapter": {"kind": "lora", "last_layers": 2}},
        "backbone": {"kind": "roberta"},
    }[change]
    make(**({"adapter": LORA} | other))
    assert len(list(own_cache.iterdir())) == 2


def test_a_cached_head_only_run_imports_neither_transformers_nor_peft(
    make: Callable[..., Any], tiny_folder: Callable[[str], str], own_cache: Path
) -> None:
    model = make(head={"kind": "quantum", "qubits": 2})
    code = f"""
import sys
import torch
sys.path.insert(0, {str(Path(__file__).parent)!r})
from tiny_models import Data, sentences
from qfedfm.core.random import Streams
from qfedfm.models import ModelConfig, build
config = ModelConfig.model_validate({model.description.config.plain()!r})
model = build(config, Data(sentences(24)), max_length=16, device="cpu", streams=Streams(3).at("model"))
model.logits(model.leaves(model.initial()[None]), torch.arange(4)[None]).sum().backward()
print(sorted({{"transformers", "peft", "pennylane", "qiskit"}} & set(sys.modules)))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"

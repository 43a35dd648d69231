"""A circuit of one's own: a file named in the experiment file, whose content is part of the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from qfedfm.core.errors import RequestError
from qfedfm.core.random import Streams
from qfedfm.experiment.config import Experiment
from qfedfm.experiment.identity import config_hash
from qfedfm.experiment.loading import experiment
from qfedfm.experiment.report.learning import recorded_circuit
from qfedfm.models.heads import quantum

PROGRAM = """OPENQASM 3.0;
include "stdgates.inc";
input float[64] x_0;
input float[64] x_1;
input float[64] w_0;
input float[64] w_1;
qubit[2] q;
ry(x_0) q[0];
ry(x_1) q[1];
cx q[0], q[1];
rx(w_0) q[0];
ry(2*w_1) q[1];
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "ansatz.qasm"
    file.write_text(PROGRAM)
    return file


def with_head(**head: Any) -> Experiment:
    return experiment({"model": {"head": {"kind": "quantum", **head}}})


def test_the_text_takes_the_place_of_the_path(path: Path) -> None:
    found = with_head(circuit=str(path))
    head = found.model.head
    assert isinstance(head, quantum.QuantumConfig)
    assert (head.qubits, head.layers, head.family) == (2, 1, None)
    assert head.circuit == f"// circuit of ansatz.qasm\n{PROGRAM}"
    circuit = head.build_circuit()
    assert (circuit.name, circuit.n_inputs, circuit.n_weights) == ("ansatz", 2, 2)
    path.unlink()  # a run does not need the file any more
    again = experiment(found.plain())
    assert again == found
    assert again.model.head.build_circuit().hash == circuit.hash  # type: ignore[union-attr]
    assert recorded_circuit(found.plain()["model"]["head"]).hash == circuit.hash


def test_the_content_enters_the_run_id(path: Path) -> None:
    first = config_hash(with_head(circuit=str(path)))
    assert config_hash(with_head(circuit=str(path))) == first
    path.write_text(PROGRAM.replace("rx(w_0)", "rz(w_0)"))
    assert config_hash(with_head(circuit=str(path))) != first


def test_the_user_is_told_once_what_is_measured(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(quantum._log, "warning", told.append)
    quantum._tell.cache_clear()
    found = with_head(circuit=str(path))
    with_head(circuit=str(path))
    experiment(found.plain())
    assert told == [f"{path} names no observables (@qfedfm.observable): Z of every qubit is measured"]


@pytest.mark.parametrize(
    "kind", ["quantum", "frozen_quantum", "unentangled", "matched_mlp", "random_features"]
)
def test_every_head_that_stands_for_a_circuit_takes_it(kind: str, path: Path) -> None:
    options = with_head(circuit=str(path)).model.head.model_dump(exclude={"kind"})
    config = type(experiment({"model": {"head": {"kind": kind, **options}}}).model.head)(**options)
    head = config.build(5, 3, Streams(0))
    features = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    parameters = head.initial(Streams(1))
    assert head.logits(parameters, features).shape == (4, 3)


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (("cx q[0], q[1];", "cx q[0], q[2];"), {}, r"line 10, column 12: there is no qubit q\[2\]"),
        (("cx q", "bit c; cx q"), {}, "line 10, column 1: classical bits: not supported"),
        (("input float[64] w_1;", "input float[64] b;"), {}, "'b' is neither an input nor a weight"),
        (("rx(w_0)", "rx(1/w_0)"), {}, "division by a parameter is not supported"),
        (("w_", "x_9"), {}, "has no weights to train, so it cannot be a head"),
        (("float[64] x_", "float[64] x_1"), {}, "'x_0' is not declared"),
        (("", ""), {"qubits": 3}, "model.head.qubits is 3, but ansatz is a circuit of its own with 2 qubits"),
        (("", ""), {"family": "iqp"}, "model.head.family is 'iqp', but ansatz is a circuit of its own"),
        (("", ""), {"layers": 3}, "model.head.layers is 3"),
        (("", ""), {"options": {"embedding": "RX"}}, "model.head.options is"),
    ],
)
def test_what_is_wrong_with_it_is_said_first(
    path: Path, change: tuple[str, str], options: dict[str, Any], words: str
) -> None:
    path.write_text(PROGRAM.replace(*change) if change[0] else PROGRAM)
    with pytest.raises(RequestError, match=words) as caught:
        with_head(circuit=str(path), **options)
    assert "model.head" in str(caught.value)


def test_no_file_and_no_family(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"model.head.circuit: .*nothing.qasm: cannot be read"):
        with_head(circuit=str(tmp_path / "nothing.qasm"))
    with pytest.raises(RequestError, match=r"model.head.family is null"):
        with_head(family=None)


def test_without_inputs_it_is_no_head(path: Path) -> None:
    path.write_text('OPENQASM 3.0;\ninclude "stdgates.inc";\ninput float[64] w_0;\nqubit q;\nrx(w_0) q;\n')
    with pytest.raises(RequestError, match=r"has no inputs, so it cannot be a head; declare .* x_0;"):
        with_head(circuit=str(path))

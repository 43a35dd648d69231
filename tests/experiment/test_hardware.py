"""A head on hardware: trained there within a budget, cut and resumed; evaluated there, raw and mitigated."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import qfedfm
from qfedfm.circuits import Rotation, family
from qfedfm.cli.main import invoke
from qfedfm.core.errors import RequestError
from qfedfm.quantum import expectations

pytest.importorskip("qiskit_ibm_runtime")

FILE: dict[str, Any] = {
    "name": "loop",
    "seed": 5,
    "data": {
        "source": "features",
        "features": {"samples": 24, "dimension": 8, "classes": 2, "test_samples": 100},
        "partition": {"kind": "iid", "clients": 3},
    },
    "model": {
        "adapter": {"kind": "none"},
        "head": {
            "kind": "quantum",
            "qubits": 4,
            "layers": 1,
            "executor": "aer:fake_manila",
            "hardware": {"shots": 256, "max_jobs": 20, "max_seconds": 200},
        },
    },
    "federation": {"rounds": 5},
    "client": {"batch_size": 12, "optimizer": {"kind": "adam", "lr": 0.05}},
    "device": "cpu",
}
BITS = ("rounds.jsonl", "head.safetensors", "scores.json")


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("QISKIT_IBM_TOKEN", raising=False)
    monkeypatch.setattr("qfedfm.quantum.ibm.account._saved", dict)
    monkeypatch.setenv("QFEDFM_JOBS", str(tmp_path / "jobs"))


def changed(**head: Any) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(json.dumps(FILE))
    content["model"]["head"] |= head
    return content


def answers(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "jobs").glob("*.json")}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return qfedfm.run(FILE, out=tmp_path_factory.mktemp("loop") / "run")


def test_jobs_and_seconds_are_in_the_summary_and_under_the_budget(trained: Any) -> None:
    summary = trained.summary
    # Two steps a round, all three clients in one job.
    assert summary["hardware_jobs"] == 10 and summary["local_steps"] == 30
    entries = [json.loads(content) for content in answers(trained.folder).values()]
    assert {entry["points"] for entry in entries} == {3 * 36}  # value and two points a sample
    assert summary["hardware_seconds"] == pytest.approx(sum(entry["seconds"] for entry in entries))
    assert 0 < summary["hardware_seconds"] < 200 and summary["hardware_seconds_are_estimated"]
    assert summary["test_accuracy"] > summary["majority_accuracy"] + 0.15


def test_a_spent_budget_stops_and_a_larger_one_goes_on_to_the_same_bits(
    trained: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "loop.yaml", tmp_path / "run"
    file.write_text(yaml.safe_dump(FILE))
    arguments = ["run", str(file), "--out", str(out), "--quiet"]
    assert invoke([*arguments, "-o", "model.head.hardware.max_jobs=5"]) == 130
    assert "5 of 5 jobs" in capsys.readouterr().err
    assert len(answers(out)) == 5 and not (out / "summary.json").exists()
    assert invoke([*arguments, "--resume", "-o", "model.head.hardware.max_seconds=60"]) == 130
    assert len(answers(out)) < 10
    assert invoke([*arguments, "--resume"]) == 0
    assert answers(out) == answers(trained.folder)
    for name in BITS:
        assert (out / name).read_bytes() == (trained.folder / name).read_bytes(), name


@pytest.mark.slow
def test_killed_between_jobs_it_goes_on_to_the_same_bits(trained: Any, tmp_path: Path) -> None:
    file, out = tmp_path / "loop.yaml", tmp_path / "run"
    file.write_text(yaml.safe_dump(FILE))
    command = [sys.executable, "-m", "qfedfm.cli.main", "run", str(file), "--out", str(out), "--quiet"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
    while len(answers(out)) < 3 and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    kept = answers(out)
    assert 3 <= len(kept) < 10
    assert invoke([*command[3:], "--resume"]) == 0
    after = answers(out)
    assert {name: after[name] for name in kept} == kept  # nothing was run twice
    assert after == answers(trained.folder)
    assert (out / "head.safetensors").read_bytes() == (trained.folder / "head.safetensors").read_bytes()


def test_the_runtimes_primitives_train_too(tmp_path: Path) -> None:
    content = changed(executor="ibm:fake_manila")
    content["federation"]["rounds"] = 1
    content["client"]["steps"] = 1
    run = qfedfm.run(content, out=tmp_path / "run")
    assert run.summary["hardware_jobs"] == 1
    (entry,) = [json.loads(text) for text in answers(run.folder).values()]
    assert entry["executor"] == "ibm:fake_manila"


@pytest.mark.parametrize("gradient", ["exact", "spsa"])
def test_gradients_in_the_loop_are_those_of_the_circuit(gradient: str) -> None:
    from qfedfm.quantum.aer_executor import prepared
    from qfedfm.quantum.ibm.loop import Answer, in_loop
    from qfedfm.quantum.noise import Noise
    from qfedfm.quantum.pauli_strings import AngleColumns, strings_of

    circuit = family("strongly_entangling", qubits=2, layers=1)
    rotations = [one for one in circuit.primitives() if isinstance(one, Rotation)]
    angles = [one.angle for one in rotations if one.angle.terms]

    class Exact:
        name, shots, strings, columns = "exact", 1, strings_of(circuit), AngleColumns(circuit, angles)

        def seconds(self, points: int) -> float:
            return 0.0

        def run(self, given: Any, key: str) -> Answer:
            return Answer(prepared(circuit, "statevector", Noise()).values(given, None, None, 0), None)

    generator = torch.Generator().manual_seed(1)
    x = torch.rand(1, 3, circuit.n_inputs, generator=generator, dtype=torch.float64)
    w = torch.rand(1, circuit.n_weights, generator=generator, dtype=torch.float64)
    upstream = torch.linspace(-1, 2, 6, dtype=torch.float64).reshape(1, 3, 2)

    def slope(call: Any, weights: torch.Tensor) -> torch.Tensor:
        leaf = weights.clone().requires_grad_()
        (found,) = torch.autograd.grad(call(leaf), leaf, upstream)
        return found

    exact = slope(lambda leaf: expectations(circuit, x, leaf, "statevector"), w)
    if gradient == "exact":
        found = slope(lambda leaf: in_loop(Exact(), circuit, x, leaf, None, "exact"), w)
        torch.testing.assert_close(found, exact, rtol=0, atol=1e-10)
        return

    # SPSA's corner depends on the angles, so clients moved by nearly nothing draw others.
    clients = 400
    moved = (w + 1e-9 * torch.arange(clients, dtype=w.dtype).unsqueeze(1)).requires_grad_()
    out = in_loop(Exact(), circuit, x.expand(clients, -1, -1), moved, None, "spsa")
    (drawn,) = torch.autograd.grad(out, moved, upstream.expand(clients, -1, -1))
    error = drawn.std(0) / clients**0.5
    assert ((drawn.mean(0) - exact[0]).abs() < 5 * error + 0.05).all()  # and the bias of a finite step
    assert drawn.std() > 0.1


@pytest.mark.parametrize(
    ("head", "words"),
    [
        ({"executor": "statevector"}, "is for executors ibm"),
        ({"executor": "ibm:fake_manila", "hardware": None}, "say what training may cost"),
        ({"hardware": {"max_jobs": 1, "max_seconds": 1, "mode": "session"}}, "no effect on a fake backend"),
        ({"hardware": {"max_jobs": 1}}, "max_seconds is missing"),
        ({"executor": "ibm"}, "needs a backend"),
    ],
)
def test_what_cannot_be_trained_is_said(head: dict[str, Any], words: str) -> None:
    with pytest.raises(RequestError, match=words):
        _load(changed(**head))


def _load(content: dict[str, Any]) -> Any:
    from qfedfm.experiment.loading import experiment

    return experiment(content)


@pytest.mark.parametrize(
    "client",
    [
        {"optimizer": {"kind": "spsa"}},
        {"optimizer": {"kind": "sgd"}, "algorithm": {"kind": "fedkseed"}},
        {"optimizer": {"kind": "qng"}, "algorithm": {"kind": "fqngd"}, "steps": 1},
        {"algorithm": {"kind": "metric_average"}},
    ],
)
def test_methods_that_would_pass_the_jobs_by_are_refused(client: dict[str, Any]) -> None:
    content = changed()
    content["client"] = client
    with pytest.raises(RequestError, match="in a way of its own"):
        _load(content)


def test_a_budget_is_no_part_of_what_a_run_is() -> None:
    from qfedfm.experiment.identity import config_hash

    base = config_hash(_load(FILE))
    larger = changed(hardware={"shots": 256, "max_jobs": 90, "max_seconds": 900})
    other = changed(hardware={"shots": 257, "max_jobs": 20, "max_seconds": 200})
    assert config_hash(_load(larger)) == base != config_hash(_load(other))


def test_a_real_backend_needs_a_budget() -> None:
    circuit = family("strongly_entangling", qubits=2, layers=1)
    x, w = torch.zeros(1, circuit.n_inputs), torch.zeros(circuit.n_weights)
    with pytest.raises(RequestError, match="runs within a budget"):
        expectations(circuit, x, w, "ibm:ibm_torino", shots=10)
    with pytest.raises(RequestError, match="give shots"):
        expectations(circuit, x, w, "ibm:fake_manila")


def test_a_trained_head_on_fake_backends(
    trained: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from qfedfm.experiment.hardware import head_on_examples
    from qfedfm.quantum.ibm.ledger import Job, Ledger
    from qfedfm.quantum.ibm.worker import work

    monkeypatch.setattr("qfedfm.quantum.ibm.jobs._start_worker", lambda job: job.update(status="queued"))
    monkeypatch.setattr(Job, "working", lambda job: True)
    for backend in ("fake_manila", "fake_lima"):
        arguments = ["--backend", backend, "--examples", "20", "--shots", "1024", "--readout-mitigation"]
        assert invoke(["ibm", "submit", str(trained.folder), *arguments]) == 0
    capsys.readouterr()
    jobs = Ledger().jobs()
    assert len(jobs) == 2  # one a backend
    for job in jobs:
        work(job.folder)
    plot = tmp_path / "heads.svg"
    assert invoke(["ibm", "fetch", *[job.id for job in jobs], "--plot", str(plot), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert plot.read_text().startswith("<?xml")
    for result in found["results"]:
        errors = {m: result["estimates"][m]["noisy_rms_error"] for m in ("raw", "readout")}
        assert errors["readout"] < errors["raw"]  # mitigation moves the values towards ideal
        for method, entry in result["estimates"].items():
            off = np.abs(np.array(entry["values"]) - np.array(entry["noisy"]))
            assert (off < 5 * np.array(entry["standard_errors"])).all(), method
    # The ideal values are the model's own: the same predictions.
    subject, head = head_on_examples(trained.folder, 20, 7)
    assert found["results"][0]["examples"] == list(head.examples)
    model = trained.model()
    from qfedfm.experiment.scoring import labelled

    inputs, labels, _ = labelled(trained, trained.experiment, model.label_names)
    chosen = np.array(head.examples)
    ideal = np.array(found["results"][0]["ideal"]) @ np.array(head.readout).T + np.array(head.bias)
    np.testing.assert_allclose(ideal, model.logits(np.asarray(inputs)[chosen]), atol=1e-5)
    accuracy = float((ideal.argmax(1) == labels[chosen]).mean())
    assert found["results"][0]["accuracy"]["ideal"]["value"] == pytest.approx(accuracy)
    low, high = (found["results"][0]["accuracy"]["raw"][key] for key in ("low", "high"))
    assert 0 < low < high <= 1 and subject.samples == 20
    assert len(found["rows"]) == 4
    assert invoke(["ibm", "fetch", jobs[0].id]) == 0
    assert "fake_manila" in capsys.readouterr().out
    assert (
        invoke(["ibm", "submit", str(trained.folder), "--backend", "fake_manila", "--examples", "101"]) == 2
    )
    assert "100 test examples" in capsys.readouterr().err

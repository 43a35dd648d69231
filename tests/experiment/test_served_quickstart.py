"""The quickstart over Flower: one SuperLink and four SuperNodes as processes, TLS and node keys on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file
from served_machines import Served

import qfedfm
from qfedfm.experiment.results import Run

pytestmark = pytest.mark.slow
CLIENTS, ROUNDS = 4, 3
QUICKSTART = Path(__file__).parents[2] / "experiments" / "quickstart.yaml"


def quickstart(**model):
    """Returns the quickstart with a client for each of the four machines, three rounds, in float32."""
    content = yaml.safe_load(QUICKSTART.read_text())
    content["data"]["partition"]["clients"] = CLIENTS
    content["federation"] |= {"rounds": ROUNDS, "cohort": CLIENTS, "flower": {"deadline": 600}}
    content["model"] |= {"precision": "float32", **model}
    content["device"] = "cpu"
    return content


def model_of(folder, round_number=ROUNDS):
    """Returns the global model after a round, shape (d,)."""
    [path] = (folder / "checkpoint").glob(f"round-{round_number:06d}-*.safetensors")
    return load_file(path)["model"]


def lines(folder):
    return [json.loads(line) for line in (folder / "rounds.jsonl").read_text().splitlines()]


def serve(content, folder, at_round_one=lambda out: None):
    """Runs the federation; returns the run's folder."""
    with Served(folder, content) as served:
        served.serve()
        for client in range(CLIENTS):
            served.join(client)
        first = served.out / "checkpoint"
        served.until(lambda: list(first.glob("round-000001-*")), "round 1")
        at_round_one(served.out)
        return served.finished()


def test_lora_and_a_circuit_give_the_same_bits(tmp_path):
    content = quickstart()
    content["federation"]["batch_clients"] = 1
    here = qfedfm.run(content, out=tmp_path / "local").folder  # first: it fills the cache of frozen layers
    there = serve(content, tmp_path / "served")
    assert model_of(there).numpy().tobytes() == model_of(here).numpy().tobytes()
    for name in ("head.safetensors", "adapter/adapter_model.safetensors"):
        assert (there / name).read_bytes() == (here / name).read_bytes()
    told = ("download_bytes", "left")  # what travels to machines differs, what is learnt does not
    for a, b in zip(lines(there), lines(here), strict=True):
        assert {k: v for k, v in a.items() if k not in told} == {k: v for k, v in b.items() if k not in told}
    assert lines(there)[-1]["participants"] == list(range(CLIENTS))


def test_clients_that_one_process_trains_together_give_the_same_model(tmp_path):
    """The engine batches head-only clients in one call, and machines cannot: rounding is all that differs."""
    content = quickstart(adapter={"kind": "none"})
    here = qfedfm.run(content, out=tmp_path / "local").folder
    once = {**content, "federation": {**content["federation"], "rounds": 1}}
    first = model_of(qfedfm.run(once, out=tmp_path / "once").folder, 1)
    seen = []
    there = serve(content, tmp_path / "served", lambda out: seen.append(model_of(out, 1)))
    assert (seen[0] - first).norm() <= 1e-5 * first.norm()
    accuracies = [Run(folder).summary["test_accuracy"] for folder in (there, here)]
    assert abs(accuracies[0] - accuracies[1]) <= 0.003

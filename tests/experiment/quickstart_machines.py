"""The quickstart for four machines, and what a run of it left: used by tests that serve it."""

from __future__ import annotations

import json
from pathlib import Path

import yaml
from safetensors.torch import load_file
from served_machines import Served

CLIENTS, ROUNDS = 4, 3
QUICKSTART = Path(__file__).parents[2] / "experiments" / "quickstart.yaml"
TOLD = ("download_bytes", "left")
"""What a round's record says of its messages, which differ; what is learnt does not."""


def quickstart(**model):
    """Returns the quickstart with a client for each of the four machines, three rounds, in float32."""
    content = yaml.safe_load(QUICKSTART.read_text())
    content["data"]["partition"]["clients"] = CLIENTS
    content["federation"] |= {"rounds": ROUNDS, "cohort": CLIENTS, "flower": {"deadline": 600}}
    content["model"] |= {"precision": "float32", **model}
    content["device"] = "cpu"
    return content


def serve(served: Served, at_round_one=lambda out: None) -> Path:
    """Runs the federation with all clients; returns the run's folder."""
    served.serve()
    for client in range(CLIENTS):
        served.join(client)
    first = served.out / "checkpoint"
    served.until(lambda: any(first.glob("round-000001-*")), "round 1")
    at_round_one(served.out)
    return served.finished()


def model_of(folder, round_number=ROUNDS):
    """Returns the global model after a round, shape (d,)."""
    [path] = (folder / "checkpoint").glob(f"round-{round_number:06d}-*.safetensors")
    return load_file(path)["model"]


def lines(folder):
    return [json.loads(line) for line in (folder / "rounds.jsonl").read_text().splitlines()]


def assert_same(there, here):
    """Checks that two runs learnt the same, to the bit, and that every client was in every round."""
    assert model_of(there).numpy().tobytes() == model_of(here).numpy().tobytes()
    for folder, other in ((there, here), (here, there)):
        for path in folder.rglob("*.safetensors"):
            if path.parent.name != "checkpoint":  # whose header names the run
                assert path.read_bytes() == (other / path.relative_to(folder)).read_bytes(), path
    for a, b in zip(lines(there), lines(here), strict=True):
        assert {k: v for k, v in a.items() if k not in TOLD} == {k: v for k, v in b.items() if k not in TOLD}
    for line in lines(there)[1:]:
        assert line["participants"] == list(range(CLIENTS)) and line["refused"] == []

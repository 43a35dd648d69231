"""Masks over LoRA and a quantum head on real text (slow): who drops out changes only the average."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

import qfedfm
from qfedfm.federation.faults import Faults
from qfedfm.federation.sampling import UniformSampler
from qfedfm.security.summation.masks.integers import Integers

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
CLIENTS = range(10)
GONE = {0: (1, 6), 1: (3, 8), 2: (0, 9)}
MASKS = {"kind": "masks", "keys": "qkd", "bits": 24, "threshold": 0.6}


def run(path, protocol, rounds):
    return qfedfm.run(
        {
            "name": "masked-text",
            "seed": 3,
            "data": {
                "source": "docstrings",
                "max_length": 16,
                "partition": {"kind": "dirichlet", "clients": 10, "alpha": 0.3},
            },
            "model": {
                "adapter": {"kind": "lora", "rank": 4, "targets": ["query", "value"], "last_layers": 1},
                "head": {"kind": "quantum", "qubits": 4, "layers": 2},
                "precision": "float32",
            },
            "federation": {"rounds": rounds, "cohort": 10, "evaluate_every": rounds},
            "client": {"steps": 2, "batch_size": 16, "optimizer": {"kind": "adamw", "lr": 5e-3}},
            "security": {"sum": protocol},
            "device": "cpu",
        },
        out=path,
    )


def lines(found):
    return [json.loads(line) for line in (found.folder / "rounds.jsonl").read_text().splitlines()][1:]


def tensors(found):
    parts = ("head.safetensors", "adapter/adapter_model.safetensors")
    return {name: x for part in parts for name, x in load_file(found.folder / part).items()}


@pytest.fixture
def two_drop_out(monkeypatch):
    """In every round two of the ten clients do not reply."""
    rounds = iter(GONE.values())
    monkeypatch.setattr("qfedfm.federation.round.draw_faults", lambda *_: Faults(next(rounds)))


@pytest.fixture
def those_two_are_not_asked(monkeypatch):
    def others(self, sizes, cohort, round_number, rng):
        return [client for client in CLIENTS if client not in GONE[round_number]]

    def use():
        monkeypatch.undo()
        monkeypatch.setattr(UniformSampler, "sample", others)

    return use


def test_two_of_ten_that_drop_out_change_nothing_but_the_average(
    two_drop_out, those_two_are_not_asked, tmp_path
):
    masked = run(tmp_path / "masked", MASKS, 1)
    [line] = lines(masked)
    assert line["dropped"] == list(GONE[0]) and len(line["participants"]) == 8
    those_two_are_not_asked()
    plain = run(tmp_path / "plain", {"kind": "plain"}, 1)
    [bare] = lines(plain)
    assert bare["cohort"] == line["participants"] == bare["participants"] and bare["dropped"] == []
    assert line["examples"] == bare["examples"] and line["steps"] == bare["steps"]
    found, expected = tensors(masked), tensors(plain)
    assert found.keys() == expected.keys() and any("lora_B" in name for name in found)
    # Each of eight numbers is rounded by less than one step, and their sum is divided by their share.
    share = line["examples"] / masked.summary["train_examples"]
    most = 8 / share / Integers(24, 10, 1.0).scale
    assert most < 2e-6
    apart = max(float(np.abs(found[name] - expected[name]).max()) for name in found)
    moved = max(float(np.abs(x).max()) for name, x in expected.items() if "lora_B" in name)
    print(f"largest difference {apart:.1e}, rounding allows {most:.1e}, largest lora_B {moved:.1e}")
    assert apart <= most + 1e-7 and moved > 1e-3  # float32 adds its own rounding


def test_and_so_it_is_in_every_round(two_drop_out, tmp_path):
    found = run(tmp_path / "run", MASKS, 3)
    for number, line in enumerate(lines(found)):
        total = line["sum"]
        assert line["dropped"] == list(GONE[number])
        assert line["participants"] == [k for k in CLIENTS if k not in GONE[number]]
        assert {int(client) for client in total["left"]} == set(GONE[number])
        assert total["relative_rmse"] < 1e-4 and total["rmse"] < 1e-6 and total["clipped"] == 0
        print(f"round {line['round']}: {total['left']}, error of the mean {total['rmse']:.1e}")
    assert found.summary["sum_aborted_rounds"] == 0

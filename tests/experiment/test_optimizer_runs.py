"""Whole runs with optimizers of their own: one line in the file, records, resume to the same bits."""

from __future__ import annotations

import pytest
import torch

import qfedfm
from qfedfm.experiment.loading import experiment, override
from qfedfm.experiment.rounds import InterruptedRunError
from qfedfm.experiment.running import run_experiment

BASE = {
    "name": "optimizers",
    "seed": 3,
    "data": {
        "source": "features",
        "features": {"samples": 30, "dimension": 8, "classes": 3, "test_samples": 60},
        "partition": {"kind": "iid", "clients": 3},
    },
    "model": {"adapter": {"kind": "none"}, "head": {"kind": "quantum", "qubits": 2, "layers": 1}},
    "federation": {"rounds": 3},
    "client": {"batch_size": 16},
    "device": "cpu",
}
LINES = {
    "qng": {"client.optimizer": {"kind": "qng", "lr": 0.05, "metric": "block", "rest": {"kind": "adamw"}}},
    "spsa kept": {"client.optimizer": {"kind": "spsa", "momentum": 0.5}, "client.keep_optimizer_state": True},
    "adam kept": {"client.optimizer": {"kind": "adam"}, "client.keep_optimizer_state": True},
    "qng kept": {"client.optimizer": {"kind": "qng", "momentum": 0.5}, "client.keep_optimizer_state": True},
    "fqngd": {
        "client.algorithm": {"kind": "fqngd"},
        "client.optimizer": {"kind": "qng"},
        "client.steps": 1,
    },
    "metric average": {"client.algorithm": {"kind": "metric_average"}},
    "fedkseed": {
        "client.algorithm": {"kind": "fedkseed", "pool": 32},
        "client.optimizer": {"kind": "sgd", "lr": 0.05},
    },
}


def stopped_after(number: int):
    """Stands for Ctrl-C: the run ends after this round, as it does on a signal."""

    def after(line):
        if line["round"] == number:
            raise InterruptedRunError("stopped")

    return after


@pytest.mark.parametrize("name", LINES)
def test_a_run_is_recorded_and_resumes_to_the_same_bits(name, tmp_path):
    config = experiment(override(BASE, LINES[name]))
    whole = run_experiment(config, out=tmp_path / "whole", report=False)
    half = tmp_path / "half"
    with pytest.raises(InterruptedRunError):
        run_experiment(config, out=half, report=False, after_round=stopped_after(2))
    run_experiment(config, out=half, resume=True, report=False)
    for file in ("rounds.jsonl", "head.safetensors", "scores.json"):
        assert (whole / file).read_bytes() == (half / file).read_bytes()


def test_a_seeded_run_saves_a_model_like_any_other(tmp_path):
    run = qfedfm.run(override(BASE, LINES["fedkseed"]), out=tmp_path / "run")
    assert run.summary["upload_bytes"] < 3 * 3 * 2_000 and run.summary["refused_updates"] == 0
    probabilities = run.model().predict_proba(torch.randn(4, 8).numpy())
    assert probabilities.shape == (4, 3)

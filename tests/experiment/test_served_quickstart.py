"""The quickstart over Flower: one SuperLink and four SuperNodes as processes, TLS and node keys on."""

from __future__ import annotations

import pytest
from quickstart_machines import assert_same, model_of, quickstart, serve
from served_machines import Served

import qfedfm
from qfedfm.experiment.results import Run

pytestmark = pytest.mark.slow


def test_lora_and_a_circuit_give_the_same_bits(tmp_path):
    content = quickstart()
    content["federation"]["batch_clients"] = 1
    here = qfedfm.run(content, out=tmp_path / "local").folder  # first: it fills the cache of frozen layers
    with Served(tmp_path / "served", content) as served:
        assert_same(serve(served), here)


def test_clients_that_one_process_trains_together_give_the_same_model(tmp_path):
    """The engine batches head-only clients in one call, and machines cannot: rounding is all that differs."""
    content = quickstart(adapter={"kind": "none"})
    here = qfedfm.run(content, out=tmp_path / "local").folder
    once = {**content, "federation": {**content["federation"], "rounds": 1}}
    first = model_of(qfedfm.run(once, out=tmp_path / "once").folder, 1)
    seen = []
    with Served(tmp_path / "served", content) as served:
        there = serve(served, lambda out: seen.append(model_of(out, 1)))
    assert (seen[0] - first).norm() <= 1e-5 * first.norm()
    accuracies = [Run(folder).summary["test_accuracy"] for folder in (there, here)]
    assert abs(accuracies[0] - accuracies[1]) <= 0.003

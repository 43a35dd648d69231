"""The swarm finds the top of smooth and stepped functions and never does worse than the start."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from qfedfm.aggregation import Cohort, FedAvg
from qfedfm.core.errors import RequestError
from qfedfm.core.random import Streams
from qfedfm.core.tensors import Layout
from qfedfm.optim.particle_swarm import maximise

LOW, HIGH = np.full(3, -2.0), np.full(3, 2.0)


def test_the_top_of_a_smooth_and_of_a_stepped_function():
    target = np.array([0.7, -1.1, 1.6])
    for score in (
        lambda x: -float(((x - target) ** 2).sum()),
        lambda x: -float(np.round(4 * np.abs(x - target)).sum()),
    ):
        found = maximise(score, np.zeros(3), LOW, HIGH, Streams(0)("s"), particles=20, iterations=60)
        assert np.abs(found.point - target).max() < 0.15 and found.evaluations == 20 * 61
        again = maximise(score, np.zeros(3), LOW, HIGH, Streams(0)("s"), particles=20, iterations=60)
        assert np.array_equal(found.point, again.point)


def test_it_stays_in_its_box_and_ties_keep_the_start():
    found = maximise(lambda x: float(x.sum()), np.zeros(3), LOW, HIGH, Streams(1)("s"), iterations=40)
    assert bool((found.point <= 2).all()) and found.score > 5.5
    flat = maximise(lambda x: 1.0, np.full(3, 0.25), LOW, HIGH, Streams(2)("s"))
    assert flat.point.tolist() == [0.25] * 3


def cohort(score):
    rows = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    layout = Layout((("head/output.bias", (2,)),))
    return Cohort((0, 1), rows, (3, 1), layout, start=torch.zeros(2), score=score, streams=Streams(3))


def test_mixing_weights_follow_the_validation_score():
    rule = FedAvg(swarm={"particles": 12, "iterations": 30})
    wanted = torch.tensor([0.5, 1.0])
    found, _ = rule.combine({}, cohort(lambda w: -float((w - wanted).square().sum())))
    torch.testing.assert_close(found.delta, wanted, rtol=0, atol=0.05)
    plain, _ = FedAvg().combine({}, cohort(None))
    same, _ = rule.combine({}, cohort(lambda w: 0.0))
    torch.testing.assert_close(same.delta, plain.delta)
    assert rule.sees == "individuals" and FedAvg().sees == "sum"


def test_without_validation_data_or_with_lora_it_is_refused():
    from qfedfm.federation.compatibility import Adapter
    from qfedfm.federation.config import ClientConfig, FederationConfig
    from qfedfm.federation.plan import Plan

    with pytest.raises(RequestError, match="validation_fraction"):
        FedAvg(swarm={}).combine({}, cohort(None))
    with pytest.raises(RequestError, match="no certificate"):
        Plan.of(FederationConfig(), ClientConfig(), FedAvg(swarm={}), (), Adapter(8, 2.0))

"""Each method reaches the optimum it promises, with half of the clients in each round."""

from __future__ import annotations

import pytest
import torch
from quadratic import Quadratic

from qfedfm.federation.stages import Clip, Quantize, TopK

A = [[2.0, -1.0, 3.0, 0.5], [-2.0, 1.0, -3.0, -0.5], [1.0, 4.0, 0.0, 1.5], [-1.0, -4.0, 0.0, -1.5]]
"""Every pair of clients that takes part together has its mean optimum at zero."""
COMMON = [[1.0, -2.0, 0.5, 3.0]] * 4
CURVED = [[1.0, 0.5, 2.0, 0.3], [0.2, 1.5, 0.4, 1.0], [0.8, 0.7, 1.1, 0.6], [1.9, 0.3, 0.9, 1.2]]
FAR = [[2.0, -1.0, 3.0, 0.5], [0.0, 1.0, -3.0, -0.5], [1.0, 4.0, 0.0, 1.5], [-1.0, 2.0, 1.0, -1.5]]


def test_fednova_is_not_drawn_to_clients_that_take_more_steps():
    world = Quadratic(FAR, 1.0, sizes=(8, 16, 32, 64))
    optimum = world.a.mean(0)
    options = {"epochs": 1, "optimizer": {"kind": "sgd", "lr": 0.02}}
    nova, _, _, _ = world.run({"kind": "fednova"}, 120, **options)
    average, _, _, _ = world.run({"kind": "sgd"}, 120, **options)
    assert (nova.model - optimum).norm() < 0.2 < 0.5 < (average.model - optimum).norm()


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_fednova_with_half_of_the_clients(momentum):
    world = Quadratic(COMMON, CURVED, sizes=(8, 16, 32, 64))
    optimizer = {"kind": "sgd", "lr": 0.05, "momentum": momentum}
    state, _, _, _ = world.run({"kind": "fednova"}, 200, cohort=2, optimizer=optimizer)
    torch.testing.assert_close(state.model, world.a[0], rtol=0, atol=1e-4)


def test_feddyn_reaches_the_optimum_of_the_mean_with_half_of_the_clients():
    world = Quadratic(FAR, CURVED)
    optimum = (world.h * world.a).sum(0) / world.h.sum(0)
    options = {"cohort": 2, "steps": 40, "optimizer": {"kind": "sgd", "lr": 0.2}}
    dyn, _, _, _ = world.run({"kind": "feddyn", "alpha": 0.5}, 100, **options)
    average, _, _, _ = world.run({"kind": "sgd"}, 30, **options)
    assert (dyn.model - optimum).norm() < 5e-3 < 0.3 < (average.model - optimum).norm()


def test_ditto_models_lie_between_their_own_optimum_and_the_global_model():
    world = Quadratic(A, 2.0)
    state, _, plan, engine = world.run({"kind": "ditto", "strength": 0.5}, 60, cohort=2, steps=10)
    torch.testing.assert_close(state.model, torch.zeros(4), rtol=0, atol=1e-4)
    own = engine.personal(plan, state.model, range(4))
    torch.testing.assert_close(torch.stack(own), 2.0 * world.a / 2.5, rtol=0, atol=1e-3)


def test_pfedme_models_are_moreau_envelopes():
    world = Quadratic(A, 2.0)
    state, _, plan, engine = world.run(
        {"kind": "pfedme", "strength": 3.0, "rate": 0.05, "inner": 20}, 60, cohort=2, steps=5
    )
    torch.testing.assert_close(state.model, torch.zeros(4), rtol=0, atol=1e-3)
    own = engine.personal(plan, state.model, range(4))
    # The local model has moved from 0 by the round's steps: w ← w − ηλ(w − θ(w)), five times.
    w = torch.zeros(4, 4)
    for _ in range(5):
        theta = (2.0 * world.a + 3.0 * w) / 5.0
        w = w - 0.05 * 3.0 * (w - theta)
    torch.testing.assert_close(torch.stack(own), theta, rtol=0, atol=1e-3)


def test_local_parts_reach_each_clients_own_optimum_and_the_rest_the_mean():
    world = Quadratic(A, 1.0)
    state, records, plan, engine = world.run({"kind": "local_parts", "names": ["own"]}, 60, cohort=2, steps=5)
    own = torch.stack(engine.personal(plan, state.model, range(4)))
    torch.testing.assert_close(own[:, :2], torch.zeros(4, 2), rtol=0, atol=1e-4)
    torch.testing.assert_close(own[:, 2:], world.a[:, 2:], rtol=0, atol=1e-4)
    assert torch.equal(state.model[2:], torch.zeros(2))
    whole = world.run({"kind": "sgd"}, 1, cohort=2)[1][0]
    assert records[0].upload_bytes < whole.upload_bytes


@pytest.mark.parametrize(
    "stages",
    [
        [TopK(fraction=0.25)],
        [Quantize(bits=8)],
        [Quantize(bits=4)],
        [Quantize(bits=4, rounding="stochastic")],
        [Clip(norm=1.0), TopK(fraction=0.5), Quantize(bits=4)],
    ],
    ids=["topk", "int8", "int4", "int4-stochastic", "clip-topk-int4"],
)
def test_compression_with_error_feedback_reaches_the_optimum(stages):
    world = Quadratic(COMMON, CURVED)
    state, _, _, _ = world.run({"kind": "sgd"}, 300, cohort=2, stages=stages, steps=2)
    torch.testing.assert_close(state.model, world.a[0], rtol=0, atol=2e-3)


def test_without_error_feedback_unlike_clients_lose_what_is_never_largest():
    """Two clients that disagree in the large coordinate and agree in the small one."""
    world = Quadratic([[10.0, 1.0, 0.0, 0.0], [-10.0, 1.0, 0.0, 0.0]], 1.0, sizes=(8, 8))
    for feedback, expected in ((True, 1.0), (False, 0.0)):
        stages = [TopK(fraction=0.25, error_feedback=feedback)]
        state, _, _, _ = world.run({"kind": "sgd"}, 200, stages=stages, steps=1)
        assert abs(float(state.model[1]) - expected) < 0.25

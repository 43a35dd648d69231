"""A bad update changes nothing but the record."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from qfedfm.aggregation import FedAvg
from qfedfm.core.metrics import Metrics
from qfedfm.federation.config import ClientConfig, FederationConfig
from qfedfm.federation.engines.local import LocalEngine
from qfedfm.federation.plan import Plan

BAD = 2


def with_value(update, value):
    delta = {name: tensor.clone() for name, tensor in update.delta.items()}
    delta["weight"][1, 2] = value
    return replace(update, delta=delta)


def flat_with_nan(update):
    update.delta.vector[4] = float("nan")
    return update


def without(update, name):
    return replace(update, delta={n: t for n, t in update.delta.items() if n != name})


TAMPERS = {
    "NaN": (lambda u: with_value(u, float("nan")), "tensor 'weight' holds NaN"),
    "NaN in one vector": (flat_with_nan, "tensor 'weight' holds NaN"),
    "infinity": (lambda u: with_value(u, float("inf")), "tensor 'weight' holds an infinity"),
    "wrong shape": (
        lambda u: replace(u, delta={**u.delta, "bias": torch.zeros(4)}),
        r"'bias' has shape \(4,\), expected \(3,\)",
    ),
    "wrong dtype": (
        lambda u: replace(u, delta={n: t.double() for n, t in u.delta.items()}),
        "has dtype torch.float64",
    ),
    "missing": (lambda u: without(u, "bias"), "lacks the tensor 'bias'"),
    "extra": (
        lambda u: replace(u, delta={**u.delta, "biass": torch.zeros(3)}),
        r"unexpected tensor 'biass' \(did you mean 'bias'\?\)",
    ),
    "wrong round": (lambda u: replace(u, round=7), "answers round 7, not round 0"),
    "wrong schema": (lambda u: replace(u, schema="0" * 16), "its schema is"),
    "no examples": (lambda u: replace(u, examples=0), "claims 0 examples"),
    "metrics": (
        lambda u: replace(u, metrics=u.metrics + Metrics.of(loss=(float("nan"), 1))),
        "metrics are not finite",
    ),
}


def run(world, tamper=None, leave_out=False, algorithm="sgd"):
    class Tampering(LocalEngine):
        def train(self, *arguments):
            replies = super().train(*arguments)
            if leave_out:
                return [reply for reply in replies if reply.client != BAD]
            return [tamper(reply) if tamper and reply.client == BAD else reply for reply in replies]

    plan = Plan.of(
        FederationConfig(rounds=1),
        ClientConfig(batch_size=8, optimizer={"kind": "sgd"}, algorithm={"kind": algorithm}),
        FedAvg(),
    )
    return world.run(plan, 1, world.engine(kind=Tampering))


@pytest.mark.parametrize("name", TAMPERS)
def test_a_bad_update_is_refused_and_the_round_is_that_without_the_client(world, name):
    tamper, reason = TAMPERS[name]
    state, [record] = run(world, tamper)
    expected, [without_it] = run(world, leave_out=True)
    assert torch.equal(state.model, expected.model)
    assert record.participants == without_it.participants
    assert record.train == without_it.train
    [(client, said)] = record.refused
    assert client == BAD
    import re

    assert re.search(reason, said), said


def test_a_bad_auxiliary_tensor_is_refused_too(world):
    def spoil(update):
        return replace(update, auxiliary={"control": update.auxiliary["control"] * float("nan")})

    state, [record] = run(world, spoil, algorithm="scaffold")
    expected, _ = run(world, leave_out=True, algorithm="scaffold")
    assert torch.equal(state.model, expected.model)
    assert torch.equal(state.algorithm["control"], expected.algorithm["control"])
    assert record.refused == ((BAD, "tensor 'control' holds NaN"),)


def test_replies_of_strangers_and_second_replies_are_refused(world):
    class Doubling(LocalEngine):
        def train(self, *arguments):
            replies = super().train(*arguments)
            return [*replies, replace(replies[0], client=77), replies[1]]

    plan = Plan.of(FederationConfig(rounds=1), ClientConfig(batch_size=8), FedAvg())
    state, [record] = world.run(plan, 1, world.engine(kind=Doubling))
    expected, _ = world.run(plan, 1)
    assert torch.equal(state.model, expected.model)
    assert dict(record.refused) == {
        1: "a second reply of the same client",
        77: "this client was not asked in this round",
    }

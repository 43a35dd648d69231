"""Rounds behind a sum protocol: the same averages, nothing but offers and masked messages at the server."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from lora_world import LoraWorld

from qfedfm.aggregation import FedAvg, FedIT, FedSVD, FFALora, ModelSoup, RoLora
from qfedfm.core.errors import RequestError
from qfedfm.core.random import Streams
from qfedfm.federation.admission import admit_offers
from qfedfm.federation.config import ClientConfig, FederationConfig
from qfedfm.federation.engines import Offer
from qfedfm.federation.engines.local import LocalEngine
from qfedfm.federation.engines.summing import SummingEngine
from qfedfm.federation.plan import Plan
from qfedfm.federation.stages import Clip, TopK
from qfedfm.security.summation import Masks

MASKS = Masks(bits=32, bound=4.0)
BAD = 2


def summing(engine, protocol=MASKS, kind=SummingEngine):
    return kind(engine, protocol, Streams(8))


def plan_of(world, rule=None, *, protocol=None, federation=None, stages=(), **client):
    options = {"batch_size": 8, "optimizer": {"kind": "sgd", "lr": 0.1}} | client
    return Plan.of(
        FederationConfig(**({"rounds": 3} | (federation or {}))),
        ClientConfig(**options),
        rule or FedAvg(),
        stages,
        protocol=protocol,
    )


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rule": FedAvg(weighting="uniform")},
        {"rule": FedAvg(weighting="uniform"), "algorithm": {"kind": "feddyn"}},
        {"algorithm": {"kind": "ditto"}},
        {"algorithm": {"kind": "local_parts", "names": ["bias"]}},
        {"stages": [Clip(norm=0.05)]},
        {"federation": {"server_optimizer": {"kind": "fedadam", "lr": 0.02}, "cohort": 3}},
        {"rule": ModelSoup(), "federation": {"rounds": 1}},
    ],
    ids=lambda options: "-".join(f"{value}"[:12] for value in options.values()) or "fedavg",
)
def test_rounds_are_those_of_updates_seen_one_by_one(world, options):
    rounds = 1 if "rule" in options and options["rule"].kind == "soup" else 3
    expected, bare = world.run(plan_of(world, **options), rounds)
    found, records = world.run(
        plan_of(world, protocol=MASKS, **options), rounds, engine=summing(world.engine())
    )
    torch.testing.assert_close(found.model, expected.model, rtol=0, atol=3e-6)
    for name, tensor in expected.algorithm.items():
        torch.testing.assert_close(found.algorithm[name], tensor, rtol=0, atol=3e-6)
    for record, other in zip(records, bare, strict=True):
        assert record.participants == other.participants and record.examples == other.examples
        assert record.steps == other.steps and record.train == pytest.approx(other.train, abs=1e-5)
        assert record.sum["relative_rmse"] < 1e-6 and record.client_loss == {}


@pytest.mark.parametrize("rule", [FedIT(), FFALora(), RoLora(), FedSVD()], ids=lambda rule: rule.kind)
def test_lora_rules_that_need_only_a_sum(rule):
    world = LoraWorld()
    plan = world.plan(rule)
    expected, _ = world.run(plan, 4)
    found, records = world.run(replace(plan, protocol=MASKS), 4, engine=_named(world))
    torch.testing.assert_close(found.model, expected.model, rtol=0, atol=2e-5)
    assert all(not record.layers for record in records)


def _named(world):
    engine = world.engine()
    around = summing(engine)
    around._model = engine._model
    return around


class Poisoned(LocalEngine):
    """Client ``BAD`` ends with a NaN."""

    def train(self, plan, broadcast, cohort, faults, rng):
        replies = super().train(plan, broadcast, cohort, faults, rng)
        for reply in replies:
            if reply.client == BAD:
                reply.delta.vector[4] = float("nan")
        return replies


def test_a_client_withholds_its_own_nan_and_nothing_else_changes(world):
    plan = plan_of(world, protocol=MASKS)
    poisoned, (record,) = world.run(plan, engine=summing(world.engine(kind=Poisoned)))
    assert record.refused == ((BAD, "its own update holds NaN"),)
    assert record.participants == (0, 1, 3) and torch.isfinite(poisoned.model).all()

    class Without(SummingEngine):
        def offers(self, *arguments):
            return [offer for offer in super().offers(*arguments) if offer.client != BAD]

    expected, _ = world.run(plan, engine=summing(world.engine(), kind=Without))
    assert torch.equal(poisoned.model, expected.model)


def test_offers_are_admitted_by_what_they_say():
    good = Offer(1, 3, 10, "abcd")
    offers = [
        good,
        replace(good, client=9),
        good,
        replace(good, client=2, round=2),
        replace(good, client=3, schema="dcba"),
        replace(good, client=4, examples=0),
        replace(good, client=5, refused="its own update holds NaN"),
    ]
    admitted, refused = admit_offers(offers, "abcd", 3, [1, 2, 3, 4, 5])
    assert admitted == [good]
    reasons = dict(refused)
    assert reasons[9] == "this client was not asked in this round"
    assert reasons[1] == "a second reply of the same client"
    assert "round 2, not round 3" in reasons[2] and "'dcba', not 'abcd'" in reasons[3]
    assert reasons[4] == "it claims 0 examples" and reasons[5] == "its own update holds NaN"


def test_what_the_server_is_sent_holds_no_update(world):
    """No reply of any phase contains a client's numbers, neither as floats nor as integers."""
    seen = []

    class Spying(SummingEngine):
        def exchange(self, phase, messages):
            replies = super().exchange(phase, messages)
            seen.extend(replies.values())
            return replies

    engine = summing(world.engine(), kind=Spying)
    world.run(plan_of(world, protocol=MASKS), engine=engine)
    assert len(seen) == 4 * 5
    weights = engine._job.weights
    for client, vector in engine._vectors.items():
        setting = engine._summation.setting(engine._job)
        rng = Streams(8)("rounding", 0, client)
        words, _ = setting.integers.encode(vector, weights[client], rng)
        for part in (vector[:2].tobytes(), words[:2].tobytes()):
            assert not any(part in message for message in seen)


def test_a_sum_below_its_threshold_moves_nothing(world):
    federation = {"faults": {"dropout": 0.7}}
    plan = plan_of(world, protocol=Masks(threshold=1.0), federation=federation)
    state, records = world.run(plan, 3, engine=summing(world.engine(), plan.protocol))
    assert torch.equal(state.model, world.start()) and state.round == 3
    for record in records:
        assert record.participants == () and "needs 4" in record.sum["aborted"]
        assert record.upload_bytes > 0


def test_updates_are_not_to_be_had(world):
    with pytest.raises(AssertionError, match="no update reaches the server"):
        summing(world.engine()).train(None, None, (), None, None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rule": FedAvg(angles="circular")}, "reveals only"),
        ({"algorithm": {"kind": "scaffold"}}, "sends more than its update"),
        ({"algorithm": {"kind": "fednova"}}, "rescales each client's update"),
        ({"stages": [TopK()]}, "topk packs"),
        ({"federation": {"engine": "central"}}, "central has one client"),
    ],
)
def test_what_needs_individuals_is_refused(world, options, words):
    with pytest.raises(RequestError, match=words):
        plan_of(world, protocol=MASKS, **options)

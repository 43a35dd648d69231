"""Whole rounds under every LoRA rule: what is trained, what travels, what the next round starts from."""

from __future__ import annotations

import pytest
import torch
from lora_world import DOWN, INPUTS, LAYOUT, MODULE, OUTPUTS, RANK, LoraWorld, weight

from qfedfm.aggregation import (
    BestRank,
    FedAvg,
    FedExLora,
    FedIT,
    FedSALora,
    FedSVD,
    FFALora,
    FlexLora,
    FLora,
    HetLora,
    LoraFair,
    ModelSoup,
    RoLora,
)
from qfedfm.core.random import Streams
from qfedfm.experiment import checkpoint
from qfedfm.federation.engines.local import LocalEngine
from qfedfm.federation.messages import ByteCounter
from qfedfm.federation.store import ClientStore
from qfedfm.federation.travel import Travel

RULES = [
    FedAvg(), FedIT(), FFALora(), RoLora(), FLora(), FlexLora(), HetLora(), FedExLora(), FedSVD(), LoraFair(),
    FedSALora(), BestRank(),
]  # fmt: skip
EXACT = ("ffa_lora", "rolora", "flora", "fedex_lora", "fedsvd")
MIXED = [FLora(), FlexLora(), HetLora(), BestRank()]
HEAD = 27


@pytest.fixture
def world() -> LoraWorld:
    return LoraWorld()


class Spy(LocalEngine):
    """Keeps what the clients were sent and replied."""

    def train(self, plan, broadcast, cohort, faults, rng):
        self.broadcast, self.cohort = broadcast, cohort
        self.replies = super().train(plan, broadcast, cohort, faults, rng)
        return self.replies


def spy(world, store=None) -> Spy:
    plain = world.engine(store)
    return Spy(plain._model, plain._labels, plain._clients, plain._store)


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.kind)
def test_training_lowers_the_loss_and_is_certified(world, rule):
    plan = world.plan(rule, optimizer={"kind": "adamw", "lr": 0.03})
    _, records = world.run(plan, 6, verified=True)
    assert records[-1].train["loss"] < 0.9 * records[0].train["loss"]
    if rule.kind == "fedsa_lora":
        assert not records[0].layers
        return
    errors = [record.layers[MODULE]["error"] for record in records]
    assert max(errors) <= 1e-6 if rule.kind in EXACT else max(errors) > 1e-3


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.kind)
def test_a_seed_gives_the_same_bits_and_a_resumed_run_too(world, rule, tmp_path):
    """The checkpoint holds changed weights, and the client store the parts that are the clients' own."""
    plan = world.plan(rule, federation={"cohort": 3})
    whole, records = world.run(plan, 4)
    path = tmp_path / "store.sqlite"
    state, _ = world.run(plan, 2, world.engine(ClientStore(path)))
    checkpoint.save(tmp_path / "checkpoint", state, "run")
    loaded = checkpoint.load(tmp_path / "checkpoint", "run", Streams(3), "cpu")
    assert loaded is not None
    store = ClientStore(path)
    store.rewind(2)
    rest, later = world.run(plan, 2, world.engine(store), state=loaded)
    assert torch.equal(whole.model, rest.model) and records[2:] == later
    assert set(whole.frozen) == set(rest.frozen)
    assert all(torch.equal(tensor, rest.frozen[name]) for name, tensor in whole.frozen.items())


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.kind)
def test_counted_bytes_are_those_of_what_is_serialised(world, rule):
    plan, engine = world.plan(rule, federation={"cohort": 3}), spy(world)
    state = None
    for _ in range(4):
        before = state
        state, (record,) = world.run(plan, 1, engine, state)
        assert record.upload_bytes == sum(len(reply.to_bytes()) for reply in engine.replies)
        travel = Travel(plan, LAYOUT, engine.broadcast.round, engine.broadcast.ranks)
        reached = before.reached if before else ()
        sizes = [
            len(engine.broadcast.to_bytes(travel.down(k, k in reached), in_step=k in reached))
            for k in engine.cohort
        ]
        assert record.download_bytes == sum(sizes)


def numbers(world, rule, rounds=3, **options):
    """Returns, per round, how many numbers a client in step sends and receives."""
    plan, engine = world.plan(rule, **options), spy(world)
    found, state = [], None
    for _ in range(rounds):
        state, _ = world.run(plan, 1, engine, state)
        travel = Travel(plan, LAYOUT, state.round - 1, engine.broadcast.ranks)
        changes = sum(t.numel() for t in engine.broadcast.latest.values())
        up = [sum(t.numel() for t in reply.delta.values()) for reply in engine.replies]
        assert len(set(up)) == 1 or engine.broadcast.ranks
        found.append((up[0], travel.down(0, state.round > 1).size + changes))
    return found


def test_what_travels():
    world, A, B = LoraWorld(), RANK * INPUTS, OUTPUTS * RANK
    whole = A + B + HEAD
    assert numbers(world, FedIT()) == [(whole, whole)] * 3
    assert numbers(world, FFALora()) == [(B + HEAD, whole), (B + HEAD, B + HEAD), (B + HEAD, B + HEAD)]
    assert numbers(world, RoLora()) == [(B + HEAD, whole), (A + HEAD, B + HEAD), (B + HEAD, A + HEAD)]
    assert numbers(world, FedSVD()) == [(B + HEAD, whole)] * 3
    assert numbers(world, FedSALora()) == [(A, A)] * 3
    # The stack has the full rank of this small layer: the change travels as the whole weight.
    assert numbers(world, FLora()) == [(whole, whole)] + [(whole, HEAD + OUTPUTS * INPUTS)] * 2
    assert numbers(world, FedExLora())[1] == (whole, whole + OUTPUTS * INPUTS)


def test_a_client_that_missed_a_round_gets_all_changes_so_far(world):
    plan, engine = world.plan(FLora(), federation={"cohort": 2, "sampler": {"kind": "cyclic"}}), spy(world)
    state, _ = world.run(plan, 2, engine)  # clients 0, 1, then 2, 3
    state, (record,) = world.run(plan, 1, engine, state)  # 0 and 1 again
    assert state.reached == (0, 1)
    late = len(engine.broadcast.to_bytes(Travel(plan, LAYOUT, 2, None).down(0, False)))
    assert record.download_bytes == 2 * late
    names = [name for name, _ in Travel(plan, LAYOUT, 2, None).down(0, False).entries]
    assert names == ["head/weight", "head/bias"]


@pytest.mark.parametrize("rule", [FLora(), FedExLora()], ids=lambda r: r.kind)
def test_changed_weights_reach_the_model_that_trains(world, rule):
    """After an exact round the layer's weight is W0 + Σ p_k s B_k A_k, and that where clients start."""
    plan, engine = world.plan(rule), spy(world)
    state, _ = world.run(plan, 2, engine)
    after, _ = world.run(plan, 1, engine, state)
    assert (engine._model.weight - engine._model.frozen_weight).abs().max() > 1e-3
    examples = torch.tensor([float(r.examples) for r in engine.replies]).double()
    begin = LAYOUT.view(state.model)
    total = torch.zeros(OUTPUTS, INPUTS).double()
    for share, reply in zip(examples / examples.sum(), engine.replies, strict=True):
        A, B = ((begin[n] + reply.delta[n]).double() for n in begin if n.startswith("adapter"))
        total += share * 2.0 * B @ A
    expected = engine._model.weight.double() + total
    torch.testing.assert_close(weight(after), expected, rtol=0, atol=1e-6)


def test_flora_starts_from_factors_that_everybody_can_draw(world):
    state, _ = world.run(world.plan(FLora()), 2)
    again, _ = world.run(world.plan(FLora()), 2)
    view = LAYOUT.view(state.model)
    assert torch.equal(view[DOWN], LAYOUT.view(again.model)[DOWN])
    generator = Streams(3).at("round", 1).at("aggregation").torch("restart", MODULE)
    drawn = (torch.rand(RANK, INPUTS, generator=generator) * 2 - 1) / INPUTS**0.5
    torch.testing.assert_close(view[DOWN], drawn)


@pytest.mark.parametrize("rule", [FFALora(), RoLora(), FedSVD()], ids=lambda r: r.kind)
def test_a_factor_that_is_not_trained_does_not_move_at_the_client(world, rule):
    plan, engine = world.plan(rule), spy(world)
    state = None
    for round_number in range(2):
        before = LAYOUT.view(state.model if state else engine._model.initial())
        state, _ = world.run(plan, 1, engine, state)
        for name in LAYOUT.names:
            sent = all(name in reply.delta for reply in engine.replies)
            assert sent == rule.trains(name, round_number)
            if not sent and rule.kind != "fedsvd":
                assert torch.equal(before[name], LAYOUT.view(state.model)[name])


@pytest.mark.parametrize("rule", MIXED, ids=lambda r: r.kind)
def test_mixed_ranks_train_send_and_receive_their_own_rank(world, rule):
    ranks = (1, 2, 4)
    plan, engine = world.plan(rule, ranks=ranks), spy(world)
    _, records = world.run(plan, 4, engine)
    for reply in engine.replies:
        rank = ranks[reply.client % 3]
        assert reply.delta[DOWN].shape == (rank, INPUTS)
        assert sum(t.numel() for t in reply.delta.values()) == rank * (INPUTS + OUTPUTS) + HEAD
    assert records[-1].train["loss"] < records[0].train["loss"]
    if rule.kind == "flora":
        assert max(record.layers[MODULE]["error"] for record in records) <= 1e-6
    assert sum(len(reply.to_bytes()) for reply in engine.replies) == records[-1].upload_bytes


def test_hetlora_prunes_and_remembers(world, tmp_path):
    plan = world.plan(
        HetLora(prune=0.5),
        ranks=(2, 4),
        steps=6,
        optimizer={"kind": "sgd", "lr": 0.1},
        algorithm={"kind": "rank_decay", "strength": 3.0, "keep": 0.5},
    )
    state, _ = world.run(plan, 6)
    pruned = {name: int(t) for name, t in state.aggregator.items()}
    assert pruned and set(pruned.values()) <= {1, 2}
    checkpoint.save(tmp_path, state, "run")
    loaded = checkpoint.load(tmp_path, "run", Streams(3), "cpu")
    assert loaded is not None
    assert plan.ranks(loaded, range(4)) == plan.ranks(state, range(4))


def test_fedsa_clients_keep_b_and_head(world, tmp_path):
    store = ClientStore(tmp_path / "store.sqlite")
    plan, engine = world.plan(FedSALora()), spy(world, store)
    start = engine._model.initial()
    state, _ = world.run(plan, 3, engine)
    before, after = LAYOUT.view(start), LAYOUT.view(state.model)
    assert not torch.equal(before[DOWN], after[DOWN])
    assert all(torch.equal(before[n], after[n]) for n in LAYOUT.names if n != DOWN)
    own = engine.personal(plan, state.model, range(4))
    assert own is not None and not torch.equal(own[0], own[1])
    for vector in own:
        assert torch.equal(LAYOUT.view(vector)[DOWN], after[DOWN])
        assert LAYOUT.view(vector)[LAYOUT.names[1]].abs().max() > 0
    logits = [engine._model.logits(dict(LAYOUT.view(v)), torch.arange(112)[None])[0] for v in own]
    accuracy = [float((found.argmax(1) == world.labels).float().mean()) for found in logits]
    assert min(accuracy) > 0.4


def test_a_soup_is_one_average_of_long_training(world):
    plan = world.plan(ModelSoup(), federation={"rounds": 1}, steps=20)
    state, (record,) = world.run(plan, 1)
    fedavg, _ = world.run(world.plan(FedAvg(), federation={"rounds": 1}, steps=20), 1)
    assert torch.equal(state.model, fedavg.model) and record.steps == 80
    calls = []

    def score(vector):
        calls.append(vector)
        return -float(vector.norm())

    greedy = world.plan(ModelSoup(recipe="greedy"), federation={"rounds": 1}, steps=20)
    world.run(greedy, 1, score=score)
    assert len(calls) == 7


def test_one_counter_for_all_rounds_counts_like_one_per_round(world):
    plan, engine, counter = world.plan(RoLora(), federation={"cohort": 3}), world.engine(), ByteCounter()
    from qfedfm.federation.round import run_round

    state = plan.initial_state(engine._model.initial(), Streams(3))
    found = []
    for _ in range(4):
        state, record = run_round(state, plan, engine, counter)
        found.append((record.upload_bytes, record.download_bytes))
    _, records = world.run(plan, 4)
    assert found == [(r.upload_bytes, r.download_bytes) for r in records]

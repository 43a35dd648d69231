"""FedKSeed: the state is seeds and scalars, the same for everybody to the bit, and messages stay small."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load
from test_circuit_training import World

from qfedfm.aggregation import FedAvg
from qfedfm.core.errors import RequestError, UpdateRefusedError
from qfedfm.core.random import Streams
from qfedfm.core.seed_update import (
    LARGEST_POOL,
    MOST_MOVED,
    NUMBERS,
    STEPS,
    WIDE_POOL,
    from_seeds,
    seed_layout,
    settle,
    to_seeds,
)
from qfedfm.core.seeds import SeedPool
from qfedfm.core.update import Update
from qfedfm.experiment import checkpoint
from qfedfm.federation.config import ClientConfig, FederationConfig
from qfedfm.federation.engines.local import LocalEngine
from qfedfm.federation.messages import Broadcast, ByteCounter
from qfedfm.federation.plan import Plan
from qfedfm.federation.round import run_round
from qfedfm.federation.store import ClientStore
from qfedfm.models.seeded import SeededModel

UNIT = 2.0**-26
"""What coefficients of small pools are multiples of."""


class Listening(LocalEngine):
    """An engine that keeps what each client was sent and what it sent back, as bytes."""

    def __init__(self, *args):
        super().__init__(*args)
        self.down, self.up = [], []

    def train(self, plan, broadcast, cohort, faults, rng):
        replies = super().train(plan, broadcast, cohort, faults, rng)
        self.down.append(broadcast.to_bytes())
        self.up.append([reply.to_bytes() for reply in replies])
        return [Update.from_bytes(message) for message in self.up[-1]]


def federation(rounds, *, pool=64, together=None, state=None, model=None, shots=None, cohort=None, **client):
    world = World()
    model = model or SeededModel(world.model, SeedPool(b"pool", pool), UNIT)
    plan = Plan.of(
        FederationConfig(rounds=rounds, batch_clients=together, cohort=cohort),
        ClientConfig(
            **(
                {
                    "epochs": 2,
                    "batch_size": 8,
                    "optimizer": {"kind": "sgd", "lr": 0.02},
                    "algorithm": {"kind": "fedkseed", "pool": pool, "shots": shots},
                }
                | client
            )
        ),
        FedAvg(),
    )
    engine = Listening(model, world.labels, world, ClientStore())
    state = state or plan.initial_state(model.initial(), Streams(3))
    records = []
    while state.round < rounds:
        state, record = run_round(state, plan, engine, ByteCounter())
        records.append(record)
    return state, records, engine, model


def test_directions_are_pinned_orthogonal_and_balanced():
    pool = SeedPool(b"key", 64)
    assert pool.draw(0, 16).tolist() == PINNED
    z = pool.directions(range(64), 64).astype(np.int64)
    assert set(np.unique(z)) == {-1, 1}
    assert np.array_equal(z @ z.T, 64 * np.eye(64, dtype=np.int64))  # so they reach every state of 64 numbers
    few = SeedPool(b"key", 300).directions(range(300), 20_000).astype(np.float64)
    assert np.array_equal(few[[7]], SeedPool(b"key", 300).directions([7], 20_000))
    products = np.abs(few @ few.T / 20_000 - np.eye(300))  # 20,000 of 32,768 places
    assert products.max() < 5 / np.sqrt(20_000)
    assert np.abs(few.mean(0)).max() < 6 / np.sqrt(300) and np.abs(few.mean(1)).max() < 5 / np.sqrt(20_000)


PINNED = [1, -1, 1, -1, 1, -1, -1, -1, 1, 1, 1, 1, 1, 1, 1, 1]


@pytest.mark.parametrize(("count", "size"), [(3, 3), (1, 1), (5, 1), (64, 200), (300, 37), (8192, 6160)])
def test_a_state_is_the_sum_over_its_directions(count, size):
    """By hand, in whole numbers, which are exact in any order."""
    rng = np.random.default_rng(1)
    pool, start = SeedPool(b"key", count), rng.normal(size=size).astype(np.float32)
    counts = rng.integers(-(2**15), 2**15, count)
    expected = np.zeros(size, np.int64)
    for first in range(0, count, 512):
        some = range(first, min(first + 512, count))
        expected += counts[list(some)] @ pool.directions(some, size).astype(np.int64)
    found = pool.rebuild(start, counts, 2.0**-18)
    assert found.dtype == np.float64
    assert np.array_equal(found, start.astype(np.float64) + 2.0**-18 * expected)
    with pytest.raises(ValueError, match="as many coefficients"):
        pool.rebuild(start, counts[1:], 2.0**-18)


@pytest.mark.parametrize(("pool", "bits"), [(WIDE_POOL, 32), (LARGEST_POOL, 16)])
def test_coefficients_are_rounded_to_what_can_be_told(pool, bits):
    layout = seed_layout(pool, 2.0**-10)
    values = torch.linspace(-1, 1, pool, dtype=torch.float64)
    settled = settle(values, layout)
    assert float((settled - values).abs().max()) <= 2.0**-11
    told = layout.told(settled)
    assert told.dtype == (torch.int32 if bits == 32 else torch.int16)
    assert torch.equal(told.double() * layout.unit, settled)  # the message says them exactly
    edge = 2.0 ** (bits - 1 - 10)
    assert float(settle(torch.tensor([edge - 2.0**-10], dtype=torch.float64), layout)) < edge
    with pytest.raises(RequestError, match="outside of"):
        settle(torch.tensor([edge], dtype=torch.float64), layout)


def test_server_and_clients_have_the_same_bits_after_fifty_rounds():
    """Clients know w_0, the pool and the messages; one of them hears nothing before round 30."""
    state, _, engine, model = federation(50, cohort=2)
    server = model.expand(state.model)
    last = Broadcast(50, state.model, model.layout, {}).to_bytes()
    messages = [*engine.down, last]

    class Client:
        """Only bytes reach it."""

        def __init__(self):
            own = World()  # its own copy of the model, from the experiment's seed
            self.start, self.pool = own.model.initial().numpy(), SeedPool(b"pool", 64)
            self.heard = []

        def hear(self, message):
            counts = load(message)["model/seeds"].numpy().astype(np.int64)
            self.heard.append(self.pool.rebuild(self.start, counts, UNIT))

    early, late = Client(), Client()
    for number, message in enumerate(messages):
        early.hear(message)
        if number >= 30:
            late.hear(message)
    assert np.array_equal(early.heard[-1], server.numpy()) and np.array_equal(late.heard[-1], server.numpy())
    for a, b in zip(early.heard[30:], late.heard, strict=True):
        assert a.tobytes() == b.tobytes()
    assert not np.array_equal(early.heard[0], early.heard[-1])
    # The model that computes is these numbers in float32.
    assert torch.equal(model.inner.gather(model.leaves(state.model.unsqueeze(0)))[0], server.float())
    assert len(engine.up) == 50 and all(len(sent) == 2 for sent in engine.up)


@pytest.mark.parametrize("pool", [WIDE_POOL, LARGEST_POOL])
def test_messages_stay_below_twenty_kilobytes_with_the_largest_pools(pool):
    layout = seed_layout(pool, UNIT)
    change = torch.zeros(pool, dtype=torch.float64)
    change[torch.randperm(pool)[:MOST_MOVED]] = torch.randn(MOST_MOVED, dtype=torch.float64)
    whole = Update(1, 2, 3, layout.view(change), layout.schema)
    metrics = federation(1)[2].up[0][0]
    sent = to_seeds(replace(whole, metrics=Update.from_bytes(metrics).metrics)).to_bytes()
    down = Broadcast(0, torch.zeros(pool, dtype=torch.float64), layout, {}).to_bytes()
    assert len(sent) <= 20_000 and len(down) <= 20_000, (len(sent), len(down))
    back = from_seeds(Update.from_bytes(sent), layout)
    assert torch.equal(back.delta["seeds"], change)


@pytest.mark.parametrize(
    ("client", "words"),
    [
        ({"pool": LARGEST_POOL + 1}, "less than or equal to 8192"),
        ({"pool": 2048}, "set client.steps to at most 1536"),
        ({"pool": 8192, "directions": 100, "steps": 16}, "set client.steps to at most 15"),
        ({"pool": 8, "directions": 9}, "directions is 9, above the pool's 8"),
    ],
)
def test_what_could_grow_above_twenty_kilobytes_is_refused(client, words):
    from qfedfm.experiment.config import Experiment

    steps = {"steps": client.pop("steps")} if "steps" in client else {}
    with pytest.raises((RequestError, ValidationError), match=words):
        Experiment(client={"algorithm": {"kind": "fedkseed"} | client, "optimizer": {"kind": "sgd"}} | steps)


def test_what_is_counted_is_what_is_sent():
    _, records, engine, _ = federation(3)
    for record, down, up in zip(records, engine.down, engine.up, strict=True):
        assert record.download_bytes == 3 * len(down)
        assert record.upload_bytes == sum(map(len, up))
        assert record.train["forward_passes"] == pytest.approx(2 * record.steps / 3)


def test_clients_together_train_as_each_alone_and_losses_fall():
    together, records, _, _ = federation(15, epochs=4)
    alone, _, _, _ = federation(15, epochs=4, together=1)
    torch.testing.assert_close(together.model, alone.model, rtol=0, atol=2e-4)
    assert records[-1].train["loss"] < records[0].train["loss"] - 0.05
    again, _, _, _ = federation(15, epochs=4)
    assert torch.equal(again.model, together.model)


@pytest.mark.parametrize(("sides", "directions", "passes"), [("both", 1, 2), ("both", 5, 10), ("one", 5, 6)])
def test_one_step_is_the_directional_derivative(sides, directions, passes):
    """On one client and one full batch: a_j = −η zᵀ∇L up to O(ε²), from one side up to O(ε)."""
    world = World(sizes=(20,))
    model = SeededModel(world.model, SeedPool(b"pool", 8), UNIT)
    method = {"kind": "fedkseed", "pool": 8, "perturbation": 1e-2 if sides == "both" else 1e-3}
    plan = Plan.of(
        FederationConfig(rounds=1),
        ClientConfig(
            steps=1,
            batch_size=20,
            optimizer={"kind": "sgd", "lr": 0.5},
            algorithm=method | {"directions": directions, "sides": sides},
        ),
        FedAvg(),
    )
    engine = LocalEngine(model, world.labels, world, ClientStore())
    state, record = run_round(plan.initial_state(model.initial(), Streams(3)), plan, engine, ByteCounter())
    moved = torch.nonzero(state.model).flatten().tolist()
    assert len(moved) == directions and record.train["forward_passes"] == passes
    leaves = world.model.leaves(world.model.initial().unsqueeze(0))
    logits = world.model.logits(leaves, torch.arange(20).unsqueeze(0))[0]
    loss = torch.nn.functional.cross_entropy(logits, world.labels)
    loss.backward()
    gradient = world.model.layout.flatten({name: leaf.grad[0] for name, leaf in leaves.items()})
    slopes = model.directions(moved).double() @ gradient.double()
    expected = (-0.5 * slopes).tolist()
    assert state.model[moved].tolist() == pytest.approx(
        expected, rel=2e-2, abs=5e-4 if sides == "both" else 1e-2
    )
    if sides == "one":
        assert record.train["loss"] == pytest.approx(float(loss.detach()), rel=1e-6)


def test_shots_on_aer_train_too():
    pytest.importorskip("qiskit_aer")
    from qfedfm.models.heads import QuantumConfig

    world = World()
    world.model.head = QuantumConfig(qubits=2, layers=1, executor="aer").build(4, 2, Streams(5))
    model = SeededModel(world.model, SeedPool(b"pool", 16), UNIT)
    state, _, _, _ = federation(2, pool=16, model=model, shots=64, steps=4, epochs=1)
    assert bool(torch.isfinite(state.model).all()) and int((state.model != 0).sum()) > 3
    again, _, _, _ = federation(2, pool=16, model=model, shots=64, steps=4, epochs=1)
    assert torch.equal(again.model, state.model)
    exact, _, _, _ = federation(2, pool=16, model=model, steps=4, epochs=1)
    assert not torch.equal(exact.model, state.model)
    assert world.model.head._core._shots is None  # measured only while training


def test_a_checkpoint_keeps_float64(tmp_path):
    state, _, _, _ = federation(2)
    checkpoint.save(tmp_path, state, "run")
    found = checkpoint.load(tmp_path, "run", Streams(3), "cpu")
    assert found.model.dtype == torch.float64 and torch.equal(found.model, state.model)
    resumed, _, _, _ = federation(4, state=found)
    whole, _, _, _ = federation(4)
    assert torch.equal(resumed.model, whole.model)


@pytest.mark.parametrize(
    "delta",
    [
        {NUMBERS: torch.tensor([0, 64], dtype=torch.int32), STEPS: torch.ones(2, dtype=torch.float64)},
        {NUMBERS: torch.tensor([3, 2], dtype=torch.int32), STEPS: torch.ones(2, dtype=torch.float64)},
        {NUMBERS: torch.tensor([2, 2], dtype=torch.int32), STEPS: torch.ones(2, dtype=torch.float64)},
        {NUMBERS: torch.tensor([-1], dtype=torch.int32), STEPS: torch.ones(1, dtype=torch.float64)},
        {NUMBERS: torch.tensor([1], dtype=torch.int32), STEPS: torch.ones(1)},
        {NUMBERS: torch.tensor([1], dtype=torch.int32), STEPS: torch.ones(2, dtype=torch.float64)},
        {NUMBERS: torch.tensor([1], dtype=torch.int32)},
    ],
)
def test_malformed_seeds_are_refused(delta):
    with pytest.raises(UpdateRefusedError):
        from_seeds(Update(0, 0, 1, delta, seed_layout(64, UNIT).schema), seed_layout(64, UNIT))


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"client": {"optimizer": {"kind": "adamw"}}}, "along one direction at a time"),
        ({"client": {"optimizer": {"kind": "sgd", "momentum": 0.9}}}, "along one direction at a time"),
        ({"aggregation": {"kind": "fedit"}}, "only means are defined"),
        ({"stages": [{"kind": "topk"}]}, "leave stages out"),
        ({"client": {"keep_optimizer_state": True}}, "keep_optimizer_state"),
        ({"client": {"algorithm": {"kind": "fedkseed", "shots": 8}}}, "measures a circuit"),
    ],
)
def test_what_does_not_fit_is_refused(parts, words):
    from qfedfm.experiment.config import Experiment

    client = {"algorithm": {"kind": "fedkseed"}, "optimizer": {"kind": "sgd"}} | parts.pop("client", {})
    with pytest.raises((RequestError, ValidationError), match=words):
        Experiment(client=client, **parts)


def test_the_pool_is_a_function_of_the_key():
    first, second = SeedPool(b"a", 2), SeedPool(b"b", 2)
    assert np.array_equal(first.draw(1, 4096), SeedPool(b"a", 9).draw(1, 4096))
    assert not np.array_equal(first.draw(1, 4096), second.draw(1, 4096))

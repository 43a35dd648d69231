"""FedKSeed: the state is seeds and scalars, the same for everybody to the bit, and messages stay small."""

from __future__ import annotations

import hashlib
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
from qfedfm.core.seed_update import NUMBERS, STEPS, from_seeds, seed_layout, to_seeds
from qfedfm.core.seeds import SeedPool
from qfedfm.core.update import Update
from qfedfm.experiment import checkpoint
from qfedfm.federation.algorithms.fedkseed import LARGEST_POOL
from qfedfm.federation.config import ClientConfig, FederationConfig
from qfedfm.federation.engines.local import LocalEngine
from qfedfm.federation.messages import Broadcast, ByteCounter
from qfedfm.federation.plan import Plan
from qfedfm.federation.round import run_round
from qfedfm.federation.store import ClientStore
from qfedfm.models.seeded import SeededModel


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
    model = model or SeededModel(world.model, SeedPool(b"pool", pool))
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


def test_directions_are_pinned_and_balanced():
    pool = SeedPool(b"key", 4)
    assert pool.draw(0, 16).tolist() == PINNED
    assert pool.draw(0, 100)[:16].tolist() == PINNED
    z = pool.directions(range(4), 20_000)
    large = SeedPool(b"key", 5000).directions(range(4), 20_000)  # too large to be kept: drawn one by one
    assert np.array_equal(z, large)
    z = z.astype(np.float64)
    assert set(np.unique(z)) == {-1.0, 1.0}
    assert np.abs(z @ z.T / 20_000 - np.eye(4)).max() < 4 / np.sqrt(20_000)


PINNED = [1, 1, -1, -1, 1, 1, -1, -1, -1, 1, -1, -1, -1, -1, 1, -1]


def test_a_state_by_hand():
    pool = SeedPool(b"key", 3)
    start = np.array([0.1, -0.2, 0.3], np.float32)
    a = np.array([0.25, 0.0, -1e-9])
    found = pool.rebuild(start, a)
    expected = start.astype(np.float64) + 0.25 * pool.draw(0, 3)
    expected += -1e-9 * pool.draw(2, 3)
    assert found.dtype == np.float64 and np.array_equal(found, expected)
    with pytest.raises(ValueError, match="as many coefficients"):
        pool.rebuild(start, a[:2])


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
            self.heard.append(self.pool.rebuild(self.start, load(message)["model/seeds"].numpy()))

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


def test_messages_stay_below_twenty_kilobytes_with_the_largest_pool():
    pool = LARGEST_POOL
    change = seed_layout(pool).view(torch.randn(pool, dtype=torch.float64))
    whole = Update(1, 2, 3, change, seed_layout(pool).schema)
    metrics = federation(1)[2].up[0][0]
    sent = to_seeds(replace(whole, metrics=Update.from_bytes(metrics).metrics)).to_bytes()
    down = Broadcast(0, torch.randn(pool, dtype=torch.float64), seed_layout(pool), {}).to_bytes()
    assert len(sent) <= 20_000 and len(down) <= 20_000, (len(sent), len(down))
    back = from_seeds(Update.from_bytes(sent), seed_layout(pool))
    assert torch.equal(back.delta["seeds"], change["seeds"])
    with pytest.raises(ValidationError, match="less than or equal to 1536"):
        ClientConfig(algorithm={"kind": "fedkseed", "pool": LARGEST_POOL + 1}, optimizer={"kind": "sgd"})


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


def test_one_step_is_the_directional_derivative():
    """On one client and one full batch: a_j = −η zᵀ∇L up to O(ε²)."""
    world = World(sizes=(20,))
    model = SeededModel(world.model, SeedPool(b"pool", 8))
    plan = Plan.of(
        FederationConfig(rounds=1),
        ClientConfig(
            steps=1,
            batch_size=20,
            optimizer={"kind": "sgd", "lr": 0.5},
            algorithm={"kind": "fedkseed", "pool": 8, "perturbation": 1e-2},
        ),
        FedAvg(),
    )
    engine = LocalEngine(model, world.labels, world, ClientStore())
    state, _ = run_round(plan.initial_state(model.initial(), Streams(3)), plan, engine, ByteCounter())
    (number,) = torch.nonzero(state.model).flatten().tolist()
    leaves = world.model.leaves(world.model.initial().unsqueeze(0))
    logits = world.model.logits(leaves, torch.arange(20).unsqueeze(0))[0]
    torch.nn.functional.cross_entropy(logits, world.labels).backward()
    gradient = world.model.layout.flatten({name: leaf.grad[0] for name, leaf in leaves.items()})
    slope = float(gradient.double() @ torch.from_numpy(model.pool.draw(number, model.size)).double())
    assert float(state.model[number]) == pytest.approx(-0.5 * slope, rel=2e-2, abs=1e-4)


def test_shots_on_aer_train_too():
    pytest.importorskip("qiskit_aer")
    from qfedfm.models.heads import QuantumConfig

    world = World()
    world.model.head = QuantumConfig(qubits=2, layers=1, executor="aer").build(4, 2, Streams(5))
    model = SeededModel(world.model, SeedPool(b"pool", 16))
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
        from_seeds(Update(0, 0, 1, delta, seed_layout(64).schema), seed_layout(64))


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
    digest = hashlib.sha256(first.draw(1, 4096).tobytes()).hexdigest()
    assert digest == hashlib.sha256(SeedPool(b"a", 9).draw(1, 4096).tobytes()).hexdigest()
    assert not np.array_equal(first.draw(1, 4096), second.draw(1, 4096))

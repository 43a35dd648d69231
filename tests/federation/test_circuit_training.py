"""Circuit optimizers inside the round: one line in the plan, all clients in one call, kept and resumed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from qfedfm.aggregation import FedAvg
from qfedfm.core.errors import RequestError
from qfedfm.core.random import Streams
from qfedfm.federation.config import ClientConfig, FederationConfig
from qfedfm.federation.engines.local import LocalEngine
from qfedfm.federation.messages import ByteCounter
from qfedfm.federation.plan import Plan
from qfedfm.federation.round import run_round
from qfedfm.federation.store import ClientStore
from qfedfm.models.config import ModelConfig
from qfedfm.models.description import Description
from qfedfm.models.frozen import FrozenModel
from qfedfm.models.heads import QuantumConfig

OPTIMIZERS = {
    "qng": {"kind": "qng", "lr": 0.1, "momentum": 0.5, "metric": "full"},
    "qng block": {"kind": "qng", "lr": 0.1, "metric": "block"},
    "qng diagonal": {"kind": "qng", "lr": 0.1, "metric": "diagonal"},
    "spsa": {"kind": "spsa", "lr": 0.1, "momentum": 0.3, "lr_decay": 0.6},
    "spsa shots": {"kind": "spsa", "lr": 0.1, "shots": 20},
    "qn_spsa": {"kind": "qn_spsa", "lr": 0.05},
    "qn_spsa shots": {"kind": "qn_spsa", "lr": 0.05, "shots": 20},
    "rotosolve": {"kind": "rotosolve", "lr": 0.5},
    "parameter_shift": {"kind": "parameter_shift", "lr": 0.1, "shots": 30, "momentum": 0.3},
}


class World:
    """Two classes of features, three clients of unlike sizes, a quantum head with two qubits."""

    def __init__(self, sizes=(20, 12, 5)):
        rng = np.random.default_rng(0)
        total = sum(sizes)
        self.labels = torch.from_numpy(rng.integers(0, 2, total))
        features = rng.normal(size=(total, 4)).astype(np.float32)
        features[:, 0] += 2 * self.labels.numpy()
        self.parts = np.split(np.arange(total), np.cumsum(sizes)[:-1])
        self.sizes = np.array(sizes)
        config = ModelConfig(
            backbone="none", adapter={"kind": "none"}, head={"kind": "quantum", "qubits": 2, "layers": 1}
        )
        description = Description(
            config=config,
            modality="features",
            shape=(4,),
            label_names=("a", "b"),
            max_length=8,
            precision="float32",
            backbone_hash="",
        )
        head = QuantumConfig(qubits=2, layers=1).build(4, 2, Streams(5))
        self.model = FrozenModel(
            description, head, features, None, device="cpu", streams=Streams(5), source=None
        )

    def train(self, client):
        return self.parts[client]

    def run(self, optimizer, rounds=2, *, store=None, state=None, together=None, **client):
        plan = Plan.of(
            FederationConfig(rounds=rounds, batch_clients=together),
            ClientConfig(**({"epochs": 2, "batch_size": 8, "optimizer": optimizer} | client)),
            FedAvg(),
        )
        engine = LocalEngine(self.model, self.labels, self, store or ClientStore())
        state = state or plan.initial_state(self.model.initial(), Streams(3))
        records = []
        while state.round < rounds:
            state, record = run_round(state, plan, engine, ByteCounter())
            records.append(record)
        return state, records


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_clients_together_train_as_each_alone(name):
    world = World()
    together, records = world.run(OPTIMIZERS[name])
    alone, _ = world.run(OPTIMIZERS[name], together=1)
    torch.testing.assert_close(together.model, alone.model, rtol=1e-4, atol=1e-4)
    start = world.model.initial()
    view = world.model.layout.view
    for part in ("head/circuit.weights", "head/output.weight"):
        assert not torch.equal(view(together.model)[part], view(start)[part])
    assert records[-1].train["loss"] < records[0].train["loss"] + 0.1


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_kept_state_survives_a_resume_to_the_bit(name, tmp_path):
    world, keep = World(), {"keep_optimizer_state": True}
    whole, _ = world.run(OPTIMIZERS[name], 3, store=ClientStore(tmp_path / "whole.sqlite"), **keep)
    path = tmp_path / "store.sqlite"
    half, _ = world.run(OPTIMIZERS[name], 2, store=ClientStore(path), **keep)
    store = ClientStore(path)
    store.rewind(2)
    resumed, _ = world.run(OPTIMIZERS[name], 3, store=store, state=half, **keep)
    assert torch.equal(whole.model, resumed.model)
    if name in ("qng", "spsa", "qn_spsa", "parameter_shift"):
        own = {key for key in store.read([0])[0] if "circuit.weights|" in key}
        assert own
        forgetful, _ = world.run(OPTIMIZERS[name], 3)
        assert not torch.equal(whole.model, forgetful.model)


def test_a_seed_gives_the_same_bits_twice():
    for name in ("spsa shots", "qn_spsa shots", "parameter_shift"):
        first, _ = World().run(OPTIMIZERS[name])
        again, _ = World().run(OPTIMIZERS[name])
        assert torch.equal(first.model, again.model)


def test_the_rest_moves_as_it_would_under_its_own_optimizer():
    """The first step of everything but the circuit is that of the ordinary optimizer alone."""
    rest = {"kind": "adamw", "lr": 0.02}
    one = {"steps": 1, "epochs": 1}
    both, _ = World().run({"kind": "qng", "lr": 0.1, "rest": rest}, 1, **one)
    plain, _ = World().run(rest, 1, **one)
    world = World()
    for name in world.model.layout.names:
        same = torch.equal(
            world.model.layout.view(both.model)[name], world.model.layout.view(plain.model)[name]
        )
        assert same == (name != "head/circuit.weights")


def test_proximal_terms_enter_the_estimated_gradient():
    free, _ = World().run(OPTIMIZERS["spsa"], 1)
    held, _ = World().run(OPTIMIZERS["spsa"], 1, algorithm={"kind": "fedprox", "mu": 5.0})
    world = World()
    start = world.model.layout.view(world.model.initial())["head/circuit.weights"]
    way = [
        float((world.model.layout.view(s.model)["head/circuit.weights"] - start).norm()) for s in (free, held)
    ]
    assert way[1] < 0.8 * way[0]


@pytest.mark.parametrize("algorithm", ["fedprox", "scaffold", "feddyn", "ditto"])
def test_rotosolve_refuses_methods_that_correct_gradients(algorithm):
    from pydantic import ValidationError

    with pytest.raises((RequestError, ValidationError), match=r"rotosolve|scaffold needs"):
        ClientConfig(optimizer={"kind": "rotosolve"}, algorithm={"kind": algorithm})


def test_a_head_without_a_circuit_is_refused_before_anything_is_loaded():
    from pydantic import ValidationError

    from qfedfm.experiment.config import Experiment

    with pytest.raises((RequestError, ValidationError), match="trains the weights of a circuit, and model"):
        Experiment(client={"optimizer": {"kind": "qng"}}, model={"head": {"kind": "linear"}})
    with pytest.raises((RequestError, ValidationError), match="frozen_quantum trains none"):
        Experiment(client={"optimizer": {"kind": "spsa"}}, model={"head": {"kind": "frozen_quantum"}})
    good = Experiment(
        client={"optimizer": {"kind": "qng", "rest": {"kind": "adam", "lr": 0.01}}},
        model={"head": {"kind": "quantum"}},
    )
    assert good.plain()["client"]["optimizer"]["rest"]["kind"] == "adam"


def test_a_balanced_cohort_is_drawn_from_disclosed_class_counts():
    world = World()
    engine = LocalEngine(world.model, world.labels, world, ClientStore())
    assert engine.class_counts.sum(1).tolist() == [20, 12, 5] and engine.class_counts.shape == (3, 2)
    plan = Plan.of(
        FederationConfig(rounds=1, cohort=2, sampler={"kind": "balanced", "solver": "exact"}),
        ClientConfig(steps=1),
        FedAvg(),
    )
    state = plan.initial_state(world.model.initial(), Streams(3))
    _, record = run_round(state, plan, engine, ByteCounter())
    p = engine.class_counts.sum(0) / 37

    def far(pair):
        total = engine.class_counts[list(pair)].sum(0)
        return float(((total - total.sum() * p) ** 2).sum())

    assert record.cohort == min([(0, 1), (0, 2), (1, 2)], key=far)

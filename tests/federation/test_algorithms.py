"""Golden numbers from hand-made clients, and what each algorithm promises."""

from __future__ import annotations

import pytest
import torch

from qfedfm.aggregation import FedAvg
from qfedfm.core.errors import RequestError
from qfedfm.federation.algorithms import FedProx, Scaffold
from qfedfm.federation.config import ClientConfig, FederationConfig
from qfedfm.federation.plan import Plan
from qfedfm.federation.store import ClientStore


def plan(algorithm, rounds=50, weighting="uniform", **client) -> Plan:
    client = {"batch_size": 1000, "steps": 5, "optimizer": {"kind": "sgd", "lr": 0.3}} | client
    return Plan.of(
        FederationConfig(rounds=rounds),
        ClientConfig(algorithm=algorithm, **client),
        FedAvg(weighting=weighting),
    )


def pooled_gradient(world, vector):
    """Gradient of the uniform mean of the clients' losses, the objective of SCAFFOLD's paper."""
    model = world.model()
    total = torch.zeros_like(vector)
    for client in range(len(world.clients.parts)):
        leaves = model.leaves(vector.unsqueeze(0))
        index = torch.from_numpy(world.clients.train(client))
        loss = torch.nn.functional.cross_entropy(
            model.logits(leaves, index.unsqueeze(0))[0], world.labels[index]
        )
        loss.backward()
        total += model.layout.flatten({n: leaf.grad[0] for n, leaf in leaves.items()})
    return total / len(world.clients.parts)


def test_scaffold_reaches_the_optimum_where_fedavg_is_biased(world):
    scaffold, _ = world.run(plan({"kind": "scaffold"}), 300)
    fedavg, _ = world.run(plan({"kind": "sgd"}), 300)
    exact, biased = (float(pooled_gradient(world, state.model).norm()) for state in (scaffold, fedavg))
    assert exact < 2e-3 < 5 * exact < biased


def test_scaffold_keeps_c_the_mean_of_all_variates(world):
    store = ClientStore()
    engine = world.engine(store=store)
    partial = Plan.of(
        FederationConfig(rounds=4, cohort=2),
        ClientConfig(
            steps=3, batch_size=8, optimizer={"kind": "sgd", "lr": 0.1}, algorithm={"kind": "scaffold"}
        ),
        FedAvg(),
    )
    state, _ = world.run(partial, 4, engine)
    blank = torch.zeros_like(state.model)
    variates = [(entry or {}).get("algorithm/control", blank) for entry in store.read(range(4))]
    torch.testing.assert_close(
        state.algorithm["control"], torch.stack(variates).mean(0), rtol=1e-4, atol=1e-6
    )


def test_scaffold_golden_step():
    """c_k' = c_k - c + (w_g - w_k) / (steps * rate), by hand."""
    change, kept = Scaffold().finish(
        torch.tensor([[-0.6]]),
        torch.tensor([3.0]),
        0.1,
        {"control": torch.tensor([0.5])},
        {"control": torch.tensor([[0.2]])},
    )
    assert change["control"].item() == pytest.approx(1.5)
    assert kept["control"].item() == pytest.approx(1.7)
    server = Scaffold().server_step({"control": torch.tensor([0.5])}, change, 10)
    assert server["control"].item() == pytest.approx(0.65)


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": {"kind": "adamw"}},
        {"optimizer": {"kind": "sgd", "momentum": 0.9}},
        {"optimizer": {"kind": "sgd"}, "clip_norm": 1.0},
    ],
)
def test_scaffold_refuses_optimizers_for_which_its_formula_is_wrong(options):
    from pydantic import ValidationError

    with pytest.raises((RequestError, ValidationError), match="scaffold needs"):
        ClientConfig(algorithm={"kind": "scaffold"}, **options)


def test_fedprox_adds_mu_times_the_distance():
    leaf = torch.tensor([3.0], requires_grad=True)
    leaf.grad = torch.tensor([1.0])
    FedProx(mu=0.5).correct({"w": leaf}, {"start": {"w": torch.tensor([1.0])}})
    assert leaf.grad.item() == pytest.approx(2.0)


def test_fedprox_with_mu_zero_is_fedavg_and_a_large_mu_stays_near(world):
    plain, _ = world.run(plan({"kind": "sgd"}), 1)
    zero, _ = world.run(plan({"kind": "fedprox", "mu": 0.0}), 1)
    torch.testing.assert_close(plain.model, zero.model)
    near, _ = world.run(plan({"kind": "fedprox", "mu": 2.0}), 1)
    assert near.model.norm() < 0.7 * plain.model.norm()


def test_client_vectors_survive_in_the_store_file(world, tmp_path):
    whole, _ = world.run(plan({"kind": "scaffold"}), 3)
    path = tmp_path / "store.sqlite"
    state, _ = world.run(plan({"kind": "scaffold"}), 2, world.engine(store=ClientStore(path)))
    store = ClientStore(path)
    store.rewind(2)
    state, _ = world.run(plan({"kind": "scaffold"}), 1, world.engine(store=store), state=state)
    assert torch.equal(whole.model, state.model)


def test_a_replayed_round_starts_from_what_it_started_from(world, tmp_path):
    """A kill after the store was written but before the checkpoint must not count twice."""
    path = tmp_path / "store.sqlite"
    one, _ = world.run(plan({"kind": "scaffold"}), 1, world.engine(store=ClientStore(path)))
    two, _ = world.run(plan({"kind": "scaffold"}), 1, world.engine(store=ClientStore(path)), state=one)
    for back_to in (1, 0):
        store = ClientStore(path)
        store.rewind(back_to)
        start = one if back_to == 1 else None
        again, _ = world.run(plan({"kind": "scaffold"}), 2 - back_to, world.engine(store=store), state=start)
        assert torch.equal(two.model, again.model)

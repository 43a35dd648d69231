"""Golden numbers of FQNGD and of metric-weighted averages."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from qfedfm.aggregation import Cohort, FedAvg
from qfedfm.core.errors import RequestError
from qfedfm.core.random import Streams
from qfedfm.core.tensors import Layout
from qfedfm.experiment.config import Experiment
from qfedfm.federation.algorithms import FQNGD, MetricAverage
from qfedfm.federation.config import ClientConfig, FederationConfig
from qfedfm.federation.engines.local import LocalEngine
from qfedfm.federation.messages import ByteCounter
from qfedfm.federation.plan import Plan
from qfedfm.federation.round import run_round
from qfedfm.federation.store import ClientStore
from qfedfm.quantum import metric_tensor

sys.path.insert(0, str(Path(__file__).parents[1] / "federation"))
from test_circuit_training import World

NAME = "head/circuit.weights"


def one_round(world, algorithm, optimizer, **client):
    plan = Plan.of(
        FederationConfig(rounds=1),
        ClientConfig(**({"batch_size": 100, "optimizer": optimizer, "algorithm": algorithm} | client)),
        FedAvg(),
    )
    engine = LocalEngine(world.model, world.labels, world, ClientStore())
    state = plan.initial_state(world.model.initial(), Streams(3))
    return run_round(state, plan, engine, ByteCounter())


@pytest.mark.parametrize("kind", ["full", "block", "diagonal"])
def test_fqngd_is_the_mean_of_natural_gradients_at_the_global_weights(kind):
    """θ − η Σ p_k (g_k + λ)⁻¹ ∇L_k, each worked out here from the head, client by client."""
    world, rate, damping = World(), 0.3, 0.05
    optimizer = {"kind": "qng", "lr": rate, "metric": kind, "damping": damping}
    state, _ = one_round(world, {"kind": "fqngd"}, optimizer, steps=1)
    start = world.model.initial()
    expected = torch.zeros(4, dtype=torch.float64)
    for client, part in enumerate(world.parts):
        leaves = world.model.leaves(start.unsqueeze(0))
        index = torch.from_numpy(part).unsqueeze(0)
        loss = torch.nn.functional.cross_entropy(world.model.logits(leaves, index)[0], world.labels[index[0]])
        loss.backward()
        view = world.model.circuit_view(leaves, index)
        whole = torch.zeros(view.circuit.n_weights, dtype=torch.float64)
        whole[list(view.trained)] = view.weights[0].double()
        metric = metric_tensor(view.circuit, view.inputs[0].double(), whole, kind).mean(0)
        rows = torch.tensor(view.trained)
        metric = torch.diag(metric[rows]) if kind == "diagonal" else metric[rows][:, rows]
        gradient = leaves[NAME].grad[0].double()
        natural = torch.linalg.solve(metric + damping * torch.eye(4, dtype=torch.float64), gradient)
        expected -= rate * world.sizes[client] / world.sizes.sum() * natural
    view = world.model.layout.view
    moved = (view(state.model)[NAME] - view(start)[NAME]).double()
    torch.testing.assert_close(moved, expected, rtol=1e-4, atol=1e-6)


def test_a_metric_weighted_average_by_hand():
    """Two clients, p = ½ each, λ → 0: weights 3 : 1 on the first number, 1 : 1 on the second."""
    layout = Layout((("head/output.bias", (1,)), (NAME, (2,))))
    cohort = Cohort(
        clients=(0, 1),
        delta_KD=torch.tensor([[1.0, 4.0, 1.0], [3.0, 8.0, 5.0]]),
        examples=(1, 1),
        layout=layout,
        auxiliary={"metric": torch.tensor([[[0.3, 0.0], [0.0, 0.2]], [[0.1, 0.0], [0.0, 0.2]]])},
    )
    p = torch.tensor([0.5, 0.5], dtype=torch.float64)
    mean = p.float() @ MetricAverage(damping=1e-9).on_cohort(cohort, p).delta_KD
    assert mean.tolist() == pytest.approx([2.0, (3 * 4 + 8) / 4, 3.0])
    diagonal = Cohort(
        **{**cohort.__dict__, "auxiliary": {"metric": cohort.auxiliary["metric"].diagonal(0, 1, 2)}}
    )
    mean = p.float() @ MetricAverage(metric="diagonal", damping=1e-9).on_cohort(diagonal, p).delta_KD
    assert mean.tolist() == pytest.approx([2.0, 5.0, 3.0])


def test_a_metric_weighted_average_minimises_the_distance_of_states():
    """It is where the gradient of Σ p_k (θ − θ_k)ᵀ G_k (θ − θ_k) vanishes."""
    from qfedfm.federation.algorithms.metric_average import weigh

    draw = torch.Generator().manual_seed(0)
    root = torch.randn(3, 4, 4, generator=draw, dtype=torch.float64)
    metric, delta = root @ root.mT, torch.randn(3, 4, generator=draw, dtype=torch.float64)
    p = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    mean = p @ weigh(metric, delta, p, 0.1)
    own = metric + 0.1 * torch.eye(4, dtype=torch.float64)
    slope = torch.einsum("k,kij,kj->i", p, own, mean - delta)
    torch.testing.assert_close(slope, torch.zeros(4, dtype=torch.float64), rtol=0, atol=1e-12)
    same = metric[:1].expand(3, -1, -1)
    torch.testing.assert_close(p @ weigh(same, delta, p, 0.1), p @ delta, rtol=0, atol=1e-12)


def test_metrics_travel_and_a_large_damping_is_fedavg():
    optimizer = {"kind": "adamw", "lr": 0.05}
    plain, before = one_round(World(), {"kind": "sgd"}, optimizer, epochs=3)
    damped, record = one_round(World(), {"kind": "metric_average", "damping": 1e6}, optimizer, epochs=3)
    torch.testing.assert_close(damped.model, plain.model, rtol=0, atol=1e-5)
    assert record.upload_bytes - before.upload_bytes >= 3 * 4 * 16
    assert record.download_bytes == before.download_bytes
    view = World().model.layout.view
    weighted, _ = one_round(World(), {"kind": "metric_average"}, optimizer, epochs=3)
    for name in World().model.layout.names:
        same = torch.allclose(view(weighted.model)[name], view(plain.model)[name], atol=1e-6)
        assert same == (name != NAME)


def test_the_metric_that_travels_is_that_of_the_trained_circuit():
    world = World()
    plan = Plan.of(
        FederationConfig(rounds=1),
        ClientConfig(batch_size=100, algorithm={"kind": "metric_average", "metric": "block"}),
        FedAvg(),
    )
    from qfedfm.federation.faults import Faults
    from qfedfm.federation.messages import Broadcast

    start = world.model.initial()
    engine = LocalEngine(world.model, world.labels, world, ClientStore())
    replies = engine.train(plan, Broadcast(0, start, engine.layout, {}), [0, 1, 2], Faults(), Streams(1))
    for client, reply in enumerate(replies):
        vector = start + world.model.layout.flatten(reply.delta)
        leaves = world.model.leaves(vector.unsqueeze(0))
        view = world.model.circuit_view(leaves, torch.from_numpy(world.parts[client]).unsqueeze(0))
        whole = torch.zeros(view.circuit.n_weights, dtype=torch.float64)
        whole[list(view.trained)] = view.weights[0].double()
        metric = metric_tensor(view.circuit, view.inputs[0].double(), whole, "block").mean(0)
        rows = torch.tensor(view.trained)
        torch.testing.assert_close(
            reply.auxiliary["metric"].double(), metric[rows][:, rows], rtol=0, atol=1e-6
        )


@pytest.mark.parametrize(
    ("client", "words"),
    [
        ({"algorithm": {"kind": "fqngd"}, "steps": 1}, "needs client.optimizer {kind: qng}"),
        ({"algorithm": {"kind": "fqngd"}, "optimizer": {"kind": "qng"}}, "set client.steps to 1"),
        (
            {"algorithm": {"kind": "fqngd"}, "steps": 1, "optimizer": {"kind": "qng", "momentum": 0.5}},
            "without momentum",
        ),
    ],
)
def test_what_is_no_fqngd_is_refused(client, words):
    with pytest.raises((RequestError, ValidationError), match=words):
        ClientConfig(**client)
    assert FQNGD().one_step


def test_metric_averages_need_a_circuit_and_plain_angles():
    client = {"algorithm": {"kind": "metric_average"}}
    with pytest.raises((RequestError, ValidationError), match="works on the weights of a circuit"):
        Experiment(client=client)
    with pytest.raises((RequestError, ValidationError), match="averages directions"):
        Experiment(
            client=client,
            model={"head": {"kind": "quantum"}},
            aggregation={"kind": "fedavg", "angles": "circular"},
        )

"""Optimizers of circuit weights: the estimates they take, and the steps they make of them."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from landscapes import exact_gradient, landscape

from qfedfm.circuits import Circuit, Gate, Register, family, input_angle, pauli, weight_angle
from qfedfm.core.errors import RequestError
from qfedfm.optim.circuits.frequencies import frequencies
from qfedfm.optim.circuits.parameter_shift import ParameterShift
from qfedfm.optim.circuits.qn_spsa import QNSPSA, estimate_metric
from qfedfm.optim.circuits.qng import QuantumNaturalGradient, natural_gradient
from qfedfm.optim.circuits.rotosolve import Rotosolve
from qfedfm.optim.circuits.spsa import SPSA, estimate_gradient
from qfedfm.quantum import metric_tensor, trained_weights

FAMILIES = ("strongly_entangling", "reuploading", "hardware_efficient", "convolution", "matchgate")


def leaf_of(scene):
    return scene.weights.clone().requires_grad_()


def test_the_metric_is_the_mean_over_samples_without_weights_of_zero_gradient():
    mask = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
    scene = landscape(mask=mask)
    circuit, rows = scene.view.circuit, list(scene.view.trained)
    assert len(rows) == 15 and circuit.n_weights == 18
    for kind in ("full", "block", "diagonal"):
        found = scene.metric(kind)
        for client, samples in ((0, 3), (1, 1)):
            whole = torch.zeros(circuit.n_weights, dtype=torch.float64)
            whole[rows] = scene.weights[client]
            each = metric_tensor(circuit, scene.view.inputs[client, :samples], whole, kind).mean(0)
            each = each[rows] if kind == "diagonal" else each[rows][:, rows]
            torch.testing.assert_close(found[client], each, rtol=0, atol=1e-14)


def quadratic(metric, minimum):
    """A landscape ½ (w − m)ᵀ g (w − m) whose metric is its own curvature g."""
    return SimpleNamespace(metric=lambda kind: metric if kind != "diagonal" else metric.diagonal(0, -2, -1))


def test_a_natural_step_on_a_quadratic_with_known_metric_reaches_the_minimum():
    draw = torch.Generator().manual_seed(1)
    root = torch.randn(3, 5, 5, generator=draw, dtype=torch.float64)
    metric = root @ root.mT + 0.1 * torch.eye(5, dtype=torch.float64)
    minimum = torch.randn(3, 5, generator=draw, dtype=torch.float64)
    weights = torch.randn(3, 5, generator=draw, dtype=torch.float64).requires_grad_()
    start = weights.detach().clone()
    optimizer = QuantumNaturalGradient([weights], lr=1.0, metric="full", damping=0.0)
    weights.grad = torch.einsum("kij,kj->ki", metric, start - minimum)
    optimizer.observe(quadratic(metric, minimum))
    optimizer.step()
    torch.testing.assert_close(weights.detach(), minimum, rtol=0, atol=1e-11)
    # Damped: (g + λ)⁻¹ g of the way.
    damped = QuantumNaturalGradient([weights], lr=0.5, metric="full", damping=0.3)
    with torch.no_grad():
        weights.copy_(start)
    weights.grad = torch.einsum("kij,kj->ki", metric, start - minimum)
    damped.observe(quadratic(metric, minimum))
    damped.step()
    way = torch.linalg.solve(metric + 0.3 * torch.eye(5, dtype=torch.float64), weights.grad)
    torch.testing.assert_close(weights.detach(), start - 0.5 * way, rtol=0, atol=1e-11)


def test_the_pseudo_inverse_leaves_directions_in_which_the_state_does_not_move():
    metric = torch.tensor([[[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 4.0]]], dtype=torch.float64)
    found = natural_gradient(metric, torch.tensor([[2.0, 2.0, 1.0]], dtype=torch.float64), 0.0)
    torch.testing.assert_close(found, torch.tensor([[1.0, 1.0, 0.25]], dtype=torch.float64))
    diagonal = torch.tensor([[2.0, 0.0]], dtype=torch.float64)
    found = natural_gradient(diagonal, torch.tensor([[1.0, 1.0]], dtype=torch.float64), 0.0)
    assert found.tolist() == [[0.5, 0.0]]
    assert natural_gradient(diagonal, torch.ones(1, 2), 0.5).dtype == torch.float32
    broken = torch.full((2, 2, 2), math.nan, dtype=torch.float64)
    broken[1] = torch.eye(2)
    found = natural_gradient(broken, torch.tensor([[math.nan, 1.0], [3.0, 4.0]]), 0.0)
    assert found[1].tolist() == [3.0, 4.0] and bool(found[0].isnan().any())


def test_momentum_is_of_natural_gradients():
    metric = torch.tensor([[[2.0]]], dtype=torch.float64)
    weights = torch.zeros(1, 1, requires_grad=True)
    optimizer = QuantumNaturalGradient([weights], lr=0.1, damping=0.0, momentum=0.5)
    for _ in range(2):
        weights.grad = torch.ones(1, 1)
        optimizer.observe(quadratic(metric, None))
        optimizer.step()
    assert weights.item() == pytest.approx(-0.1 * 0.5 - 0.1 * (0.25 + 0.5))
    with pytest.raises(RuntimeError, match="observe"):
        optimizer.step()


@pytest.mark.parametrize("name", FAMILIES)
def test_parameter_shift_without_shots_is_the_exact_gradient(name):
    scene = landscape(family(name, qubits=3, layers=1), loss="curved")
    torch.testing.assert_close(scene.shifted_gradient(), exact_gradient(scene), rtol=0, atol=1e-12)


def entangled_by_inputs():
    """A weight that is multiplied by an input, one that is shared, and a controlled rotation."""
    gates = (
        Gate("ry", (0,), (input_angle(0) * weight_angle(0),)),
        Gate("ry", (1,), (input_angle(1),)),
        Gate("crx", (0, 1), (weight_angle(1),)),
        Gate("rz", (1,), (weight_angle(2, 2.0),)),
        Gate("rx", (0,), (weight_angle(2) + weight_angle(1, 0.5),)),
        Gate("cp", (1, 0), (weight_angle(3),)),
        Gate("h", (0,)),
        Gate("h", (1,)),
    )
    observables = (pauli("Z", 0), pauli("XY", 0, 1))
    return Circuit(2, gates, observables, (Register("x", 0, (2,)),), (Register("w", 0, (4,)),))


def test_parameter_shift_knows_controlled_shared_and_multiplied_angles():
    scene = landscape(entangled_by_inputs(), loss="curved")
    torch.testing.assert_close(scene.shifted_gradient(), exact_gradient(scene), rtol=0, atol=1e-12)


def test_parameter_shift_with_shots_is_right_in_the_mean():
    circuit = family("strongly_entangling", qubits=2, layers=1)
    scene = landscape(circuit, clients=1, batch=2)
    exact = exact_gradient(scene)
    draws = torch.stack([scene.shifted_gradient(64) for _ in range(300)])
    error = (draws.mean(0) - exact).abs()
    assert bool((draws.std(0) > 0.01).all())
    assert bool((error < 4 * draws.std(0) / math.sqrt(300)).all())


def test_spsa_is_right_in_the_mean_on_a_quadratic():
    """Two-sided differences have no bias on a quadratic: 10,000 draws lie within four standard errors."""
    curvature = torch.tensor([[2.0, 0.5, 0.1], [0.5, 1.0, -0.3], [0.1, -0.3, 3.0]], dtype=torch.float64)
    weights = torch.tensor([[0.3, -1.0, 0.7]], dtype=torch.float64)
    scene = SimpleNamespace(
        weights=weights,
        generators=[torch.Generator().manual_seed(4)],
        losses=lambda points, shots: 0.5 * torch.einsum("pki,ij,pkj->pk", points, curvature, points),
    )
    found = []

    class Recording(SimpleNamespace):
        def losses(self, points, shots):
            value = 0.5 * torch.einsum("pki,ij,pkj->pk", points, curvature, points)
            half = len(points) // 2
            slope = (value[:half] - value[half:]) / 2e-3
            found.append(slope.unsqueeze(-1) * (points[:half] - weights) / 1e-3)
            return value

    mean = estimate_gradient(Recording(weights=weights, generators=scene.generators), 1e-3, 10_000, None)
    draws = found[0][:, 0]
    torch.testing.assert_close(mean[0], draws.mean(0))
    exact = curvature @ weights[0]
    assert bool(((mean[0] - exact).abs() < 4 * draws.std(0) / 100).all())


def test_the_raw_metric_of_qn_spsa_is_right_in_the_mean():
    """Before it is symmetrised and damped: 10,000 draws, ε = 1e-3, within four standard errors."""
    circuit = family("strongly_entangling", qubits=2, layers=1)
    scene = landscape(circuit, clients=1, batch=2)
    exact = scene.metric("full")[0]
    draws = torch.cat([_metric_draws(scene, 2500) for _ in range(4)])
    error = (draws.mean(0) - exact).abs()
    sigma = draws.std(0) / math.sqrt(len(draws))
    assert len(draws) == 10_000
    assert bool((error < 4 * sigma + 1e-6).all()), (error / sigma).max()
    # The estimate itself is the mean of such draws.
    again = landscape(circuit, clients=1, batch=2)
    torch.testing.assert_close(
        estimate_metric(again, 1e-3, 2500, None)[0],
        _metric_draws(landscape(circuit, clients=1, batch=2), 2500).mean(0),
    )


def _metric_draws(scene, count):
    from qfedfm.optim.circuits.base import signs

    width = scene.weights.shape[-1]
    state = scene.generators[0].get_state()
    both = signs(scene.generators, (2, count, width), scene.weights)[0]
    scene.generators[0].set_state(state)
    seen = {}
    plain = scene.fidelities

    def watched(points, shots=None):
        seen["F"] = plain(points, shots)
        return seen["F"]

    scene.fidelities = watched
    estimate_metric(scene, 1e-3, count, None)
    scene.fidelities = plain
    fidelity = seen["F"].reshape(4, count)
    slope = (fidelity[0] - fidelity[1] - fidelity[2] + fidelity[3]) / 2e-6
    return torch.einsum("d,di,dj->dij", -slope / 2, both[0], both[1])


def test_fidelities_with_shots_scatter_about_the_exact_ones():
    scene = landscape(family("strongly_entangling", qubits=2, layers=1), clients=1, batch=1)
    points = scene.weights.unsqueeze(0) + 0.4
    exact = scene.fidelities(points)
    draws = torch.stack([scene.fidelities(points, 50) for _ in range(400)])
    assert 0.2 < float(exact) < 0.99
    assert abs(float(draws.mean() - exact)) < 4 * float(draws.std()) / 20
    assert bool(((draws * 50 - (draws * 50).round()).abs() < 1e-9).all())


def test_rotosolve_finds_the_minimum_of_a_sinusoid_in_one_sweep():
    circuit = Circuit(
        1,
        (Gate("ry", (0,), (input_angle(0),)), Gate("ry", (0,), (weight_angle(0),))),
        (pauli("Z", 0),),
        (Register("x", 0, (1,)),),
        (Register("w", 0, (1,)),),
    )
    scene = landscape(circuit, clients=4, batch=1)
    weights = leaf_of(scene)
    optimizer = Rotosolve([weights])
    optimizer.observe(scene)
    optimizer.step()
    # ⟨Z⟩ = cos(x + w), times a slope of either sign: the minimum is −|slope|.
    lowest = scene.losses(weights.detach().unsqueeze(0))[0]
    peak = scene.losses(weights.detach().unsqueeze(0) + math.pi)[0]
    torch.testing.assert_close(lowest, -peak, rtol=1e-14, atol=0)
    slopes = torch.autograd.functional.jacobian(
        lambda w: torch.cos(scene.view.inputs[:, 0] + w).sum(), weights.detach()
    )
    assert float(slopes.abs().max()) < 1e-7  # as exact as an angle near a minimum can be told
    assert bool(((weights.detach() - scene.weights).abs() <= math.pi + 1e-12).all())


@pytest.mark.parametrize("name", ["strongly_entangling", "hardware_efficient"])
def test_a_sweep_never_raises_the_loss_and_each_weight_stands_at_its_minimum(name):
    circuit = family(name, qubits=2, layers=1)
    scene = landscape(circuit, loss="curved")
    weights = leaf_of(scene)
    optimizer = Rotosolve([weights])
    optimizer.observe(scene)
    optimizer.step()
    before = scene.losses(scene.weights.unsqueeze(0))[0]
    after = scene.losses(weights.detach().unsqueeze(0))[0]
    assert bool((after < before).all())
    # The last weight of the sweep stands at the minimum of its own line.
    line = weights.detach().repeat(721, 1, 1)
    line[..., -1] += torch.linspace(-math.pi, math.pi, 721, dtype=torch.float64).unsqueeze(1)
    assert bool((scene.losses(line).min(0).values >= after - 1e-12).all())


def test_degrees_of_controlled_shared_and_multiplied_weights():
    circuit = entangled_by_inputs()
    assert frequencies(circuit, 1) == (3, 0.5)  # controlled: ½ and 1, and half a rotation more
    assert frequencies(circuit, 2) == (3, 1.0)
    assert frequencies(circuit, 3) == (1, 1.0)
    with pytest.raises(RequestError, match="rotosolve needs weights that turn by themselves"):
        frequencies(circuit, 0)


@pytest.mark.parametrize("weight", [1, 2, 3])
def test_reconstructed_values_are_those_of_the_circuit(weight):
    from qfedfm.optim.circuits.rotosolve import _basis, _coefficients

    scene = landscape(entangled_by_inputs())
    degree, unit = frequencies(scene.view.circuit, weight)
    count = 2 * degree + 1
    points = scene.weights.repeat(count, 1, 1)
    points[..., weight] += (torch.arange(count).double() * 2 * math.pi / count / unit).unsqueeze(1)
    found = _coefficients(scene.outputs(points), degree)
    away = scene.weights.repeat(1, 1, 1)
    away[..., weight] += 1.234
    basis = _basis(torch.tensor([1.234 * unit], dtype=torch.float64), degree)
    torch.testing.assert_close(
        torch.einsum("pj,jkbo->pkbo", basis, found), scene.outputs(away), rtol=0, atol=1e-12
    )


KINDS = {
    "qng": lambda leaf: QuantumNaturalGradient([leaf], lr=0.1, momentum=0.5),
    "spsa": lambda leaf: SPSA([leaf], lr=0.1, momentum=0.5, lr_decay=0.6, perturbation_decay=0.1),
    "qn_spsa": lambda leaf: QNSPSA([leaf], lr=0.1, directions=2),
    "rotosolve": lambda leaf: Rotosolve([leaf]),
    "parameter_shift": lambda leaf: ParameterShift([leaf], lr=0.1, shots=64, momentum=0.5),
}


def part_of(scene, client):
    """The scene of one client alone."""
    from dataclasses import replace

    from qfedfm.optim.circuits.landscape import Landscape

    view = scene.view
    own = slice(client, client + 1)
    alone = replace(view, inputs=view.inputs[own], weights=view.weights[own])
    return Landscape(alone, scene._loss, scene._mask[own], scene.generators[own])


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_takes_the_same_steps_alone_as_among_others(kind):
    from dataclasses import replace

    def run(only):
        scene = landscape(clients=3, batch=2)
        if only is not None:
            scene = part_of(scene, only)
        leaf = leaf_of(scene)
        optimizer = KINDS[kind](leaf)
        for _ in range(2):
            scene.view = replace(scene.view, weights=leaf.detach().clone())
            leaf.grad = exact_gradient(scene)
            optimizer.observe(scene)
            optimizer.step()
        return leaf.detach()

    together = run(None)
    loss_alone = torch.cat([run(client) for client in range(3)])
    torch.testing.assert_close(loss_alone, together, rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_falls(kind):
    from dataclasses import replace

    scene = landscape(clients=2, batch=4, loss="curved")
    leaf = leaf_of(scene)
    optimizer = KINDS[kind](leaf)
    for _ in range(2 if kind == "rotosolve" else 40):
        scene.view = replace(scene.view, weights=leaf.detach().clone())
        leaf.grad = exact_gradient(scene)
        optimizer.observe(scene)
        optimizer.step()
    first, last = landscape(clients=2, batch=4, loss="curved"), leaf.detach()
    before, after = (first.losses(point.unsqueeze(0))[0] for point in (first.weights, last))
    assert bool((after < before - 0.1).all())


def test_trained_weights_are_those_of_the_head():
    from qfedfm.core.random import Streams
    from qfedfm.models.heads import QuantumConfig

    head = QuantumConfig(qubits=3, layers=2).build(5, 4, Streams(0))
    params = {n: t.unsqueeze(0) for n, t in head.initial(Streams(0)).items()}
    view = head.view(params, torch.randn(1, 6, 5))
    assert view.trained == trained_weights(view.circuit) and view.inputs.shape == (1, 6, 3)
    x = torch.randn(1, 6, 5)
    scene = head.view(params, x)
    from qfedfm.optim.circuits.landscape import Landscape

    outputs = Landscape(scene, lambda logits: logits, torch.ones(1, 6), []).outputs(scene.weights[None])
    torch.testing.assert_close(scene.finish(outputs[0]), head.logits(params, x))


def test_circuits_a_step_by_hand():
    """Two layers on three qubits: 18 weights, 3 of them silent, 3 inputs, 6 layers of rotations."""
    from pydantic import TypeAdapter

    from qfedfm.optim.circuits.cost import circuits_a_step
    from qfedfm.optim.client import OptimizerConfig

    circuit = family("strongly_entangling", qubits=3, layers=2)

    def count(**options):
        return circuits_a_step(TypeAdapter(OptimizerConfig).validate_python(options), circuit)

    assert count(kind="adam") == count(kind="parameter_shift") == 1 + 36 + 6
    assert count(kind="qng") == 1 + 36 + 6 + 6
    assert count(kind="qng", metric="full") == 1 + 36 + 6 + 120
    assert count(kind="spsa", directions=2) == 1 + 6 + 4 and count(kind="qn_spsa") == 1 + 6 + 6
    assert count(kind="rotosolve") == 1 + 6 + 45

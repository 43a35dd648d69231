"""Gradient variances, expressibility and entanglement against closed forms and published values."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from qfedfm.circuits import Circuit, Gate, Register, family, pauli, weight_angle
from qfedfm.circuits.families.blocks import measure_all
from qfedfm.core.errors import RequestError
from qfedfm.quantum.diagnostics import (
    decay_rate,
    draw_parameters,
    entangling_capability,
    expressibility,
    gradient_variance,
    gradient_variance_scan,
    haar_entanglement,
    haar_histogram,
    metric_spectrum,
    meyer_wallach,
    pair_fidelities,
)
from qfedfm.quantum.diagnostics.gradient_variance import cost_observable, two_design_variance


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def product(qubits: int) -> Circuit:
    gates = tuple(Gate("ry", (q,), (weight_angle(q),)) for q in range(qubits))
    return Circuit(qubits, gates, measure_all(qubits), weights=(Register("w", 0, (qubits,)),))


def idle(qubits: int) -> Circuit:
    """A weight that only moves the phase: one state."""
    gate = Gate("rz", (0,), (weight_angle(0),))
    return Circuit(qubits, (gate,), measure_all(qubits), weights=(Register("w", 0, (1,)),))


# Gradients


@pytest.mark.parametrize("qubits", [1, 2, 4])
def test_a_product_circuit_has_a_plateau_for_the_global_cost_alone(qubits: int) -> None:
    # <Z..Z> = prod cos w: the variance of its derivatives is (1/2)**n; of <Z> of qubit 0 it is 1/2 and 0
    circuit = product(qubits)
    # The fourth moment is (3/8)**n, so a variance from N samples has a relative error sqrt((1.5**n - 1) / N).
    whole = gradient_variance(cost_observable(circuit, "global"), 4000, generator())
    for value in whole.tolist():
        assert value == pytest.approx(0.5**qubits, rel=5 * ((1.5**qubits - 1) / 4000) ** 0.5)
    local = gradient_variance(cost_observable(circuit, "local"), 4000, generator())
    assert float(local[0]) == pytest.approx(0.5, rel=0.05)
    assert float(local[1:].abs().sum()) < 1e-25


def test_deep_circuits_reach_the_variance_of_two_designs() -> None:
    sizes = (2, 4, 6)
    scan = [
        gradient_variance_scan("strongly_entangling", [n], [3 * n], samples=300, generator=generator())[0]
        for n in sizes
    ]
    for n, row in zip(sizes, scan, strict=True):
        assert two_design_variance(n) == pytest.approx(4**n / (2 * (4**n - 1) * (2**n + 1)))
        assert row.mean == pytest.approx(two_design_variance(n), rel=0.06)
        assert row.smallest <= row.mean <= row.largest
        assert 0 < row.weights < 9 * n * n
    assert decay_rate(scan) == pytest.approx(0.95, abs=0.06)
    assert decay_rate(scan[:1]) is None


def test_convolution_has_no_plateau() -> None:
    convolution = gradient_variance_scan(
        "convolution", [2, 4, 8], [1], samples=300, generator=generator(), cost="own"
    )
    deep = gradient_variance_scan("strongly_entangling", [2, 4, 8], [8], samples=100, generator=generator())
    # arXiv:2011.02966: the variance of a quantum convolutional network falls no faster than a polynomial
    assert (decay_rate(convolution) or 0.0) < 0.3 < 0.8 < (decay_rate(deep) or 0.0)


# Expressibility


def test_haar_histogram_is_exact() -> None:
    assert torch.allclose(haar_histogram(1, 10), torch.full((10,), 0.1, dtype=torch.float64))
    shares = haar_histogram(3, 75)
    edges = torch.arange(76, dtype=torch.float64) / 75
    assert torch.allclose(shares, (1 - edges[:-1]) ** 7 - (1 - edges[1:]) ** 7, atol=1e-15)
    assert float(haar_histogram(12, 75).sum()) == pytest.approx(1.0)


@pytest.mark.parametrize("qubits", [1, 2, 4, 10])
def test_one_state_is_as_far_from_haar_as_can_be(qubits: int) -> None:
    found = expressibility(idle(qubits), pairs=50, generator=generator())
    assert found.divergence == pytest.approx((2**qubits - 1) * math.log(75), rel=1e-12)
    assert found.histogram[-1] == 1.0


def test_one_angle_about_a_circle_has_a_closed_form() -> None:
    # H, RZ(w): the paper's circuit A; F = cos(d/2)**2 with d uniform
    circuit = Circuit(
        1,
        (Gate("h", (0,)), Gate("rz", (0,), (weight_angle(0),))),
        (pauli("Z", 0),),
        weights=(Register("w", 0, (1,)),),
    )
    shares = [
        2 / math.pi * (math.asin(math.sqrt((k + 1) / 75)) - math.asin(math.sqrt(k / 75))) for k in range(75)
    ]
    exact = sum(share * math.log(75 * share) for share in shares)
    found = expressibility(circuit, pairs=100_000, generator=generator())
    assert found.divergence == pytest.approx(exact, abs=0.01)
    assert exact == pytest.approx(0.22, abs=0.03)  # a sample, arXiv:1905.10876, figure 1


HARDWARE = {"qubits": 4, "rotations": ("RX", "RZ"), "final_rotations": False}


@pytest.mark.parametrize(
    ("number", "entangler", "topology", "layers", "published"),
    [
        (1, "none", "line", 1, 0.2999),
        (2, "cx", "line", 1, 0.2860),
        (3, "crz", "line", 1, 0.2396),
        pytest.param(
            *(16, "crz", "line", 1, 0.2602), marks=pytest.mark.slow
        ),  # the same circuit as 3: what differs is the authors' sample
        (18, "crz", "ring", 1, 0.2340),
        (4, "crx", "line", 1, 0.1343),
        pytest.param(*(1, "none", "line", 3, 0.2079), marks=pytest.mark.slow),
        pytest.param(*(3, "crz", "line", 3, 0.0403), marks=pytest.mark.slow),
    ],
)
def test_published_expressibility(
    number: int, entangler: str, topology: str, layers: int, published: float
) -> None:
    """Circuits of arXiv:1905.10876 that are members of our families, against the values of its figure 3."""
    chosen = "cx" if entangler == "none" else entangler
    circuit = family("hardware_efficient", layers=layers, entangler=chosen, topology=topology, **HARDWARE)
    circuit = circuit.without_entanglers() if entangler == "none" else circuit
    found = expressibility(circuit, pairs=20_000, generator=generator(number))
    assert found.divergence == pytest.approx(published, abs=0.022)  # 5,000 pairs scatter by about 0.02


def test_published_expressibility_of_a_star_of_graph_states() -> None:
    # circuit 9: H on all, CZ on a line, RX on all; maximally entangled whatever the angles are
    gates = [Gate("h", (q,)) for q in range(4)] + [Gate("cz", (q, q + 1)) for q in range(3)]
    gates += [Gate("rx", (q,), (weight_angle(q),)) for q in range(4)]
    circuit = Circuit(4, tuple(gates), measure_all(4), weights=(Register("w", 0, (4,)),))
    assert expressibility(circuit, pairs=20_000, generator=generator()).divergence == pytest.approx(
        0.6773, abs=0.04
    )
    found = entangling_capability(circuit, samples=50, generator=generator())
    assert found.mean == pytest.approx(1.0, abs=1e-12)


def test_a_deep_circuit_is_as_good_as_haar_up_to_the_bias_of_the_sample() -> None:
    found = expressibility(
        family("strongly_entangling", qubits=4, layers=6), pairs=5000, generator=generator()
    )
    assert found.divergence < 3 * found.bias
    assert found.bias == pytest.approx(30 / 10_000, rel=0.3)  # about thirty bins in use
    assert sum(found.histogram) == pytest.approx(1.0) == pytest.approx(sum(found.haar))


def test_circuits_without_weights_are_looked_at_over_their_inputs() -> None:
    feature_map = family("iqp", qubits=2, layers=1, trained=False)
    fidelities = pair_fidelities(feature_map, 200, generator())
    assert float(fidelities.std()) > 0.1
    with pytest.raises(RequestError, match="neither weights nor inputs"):
        expressibility(Circuit(1, (), (pauli("Z", 0),)), generator=generator())


# Entanglement


def test_meyer_wallach_of_known_states() -> None:
    ghz = torch.zeros(3, 16, dtype=torch.complex128)
    ghz[0, 0] = ghz[0, -1] = 0.5**0.5
    ghz[1, 0] = 1.0  # a product
    for place in (1, 2, 4, 8):  # W: every qubit has the populations 3/4 and 1/4
        ghz[2, place] = 0.5
    assert meyer_wallach(ghz).tolist() == pytest.approx([1.0, 0.0, 2 * (1 - (9 + 1) / 16)])
    with pytest.raises(RequestError, match="2, 4, 8"):
        meyer_wallach(torch.ones(3, dtype=torch.complex128))


def test_haar_random_states_have_the_mean_of_the_formula() -> None:
    state = torch.randn(4000, 16, generator=generator(), dtype=torch.complex128)
    state = state / torch.linalg.vector_norm(state, dim=-1, keepdim=True)
    q = meyer_wallach(state)
    assert float(q.mean()) == pytest.approx(14 / 17, abs=5 * float(q.std()) / 4000**0.5)
    assert haar_entanglement(4) == pytest.approx(14 / 17)


def test_entangling_capability() -> None:
    assert entangling_capability(product(3), samples=20, generator=generator()).mean < 1e-12
    # one controlled rotation of a balanced control by w: Q = sin(w/2)**2, whose mean is 1/2
    circuit = Circuit(
        2,
        (Gate("h", (0,)), Gate("crx", (0, 1), (weight_angle(0),))),
        measure_all(2),
        weights=(Register("w", 0, (1,)),),
    )
    found = entangling_capability(circuit, samples=4000, generator=generator())
    assert found.mean == pytest.approx(0.5, abs=5 * found.standard_error)
    assert found.spread == pytest.approx(8**-0.5, rel=0.05)
    deep = entangling_capability(
        family("strongly_entangling", qubits=4, layers=6), samples=1000, generator=generator()
    )
    assert deep.mean == pytest.approx(deep.haar, abs=5 * deep.standard_error)


# Metric


def test_metric_spectrum_counts_directions() -> None:
    # RZ on the state 0 moves nothing; two rotations about one axis are one direction
    gates = (
        Gate("rz", (0,), (weight_angle(0),)),
        Gate("ry", (0,), (weight_angle(1),)),
        Gate("ry", (0,), (weight_angle(2),)),
    )
    circuit = Circuit(1, gates, (pauli("Z", 0),), weights=(Register("w", 0, (3,)),))
    found = metric_spectrum(circuit, samples=5, generator=generator())
    assert (found.rank, found.samples) == (1, 5)
    assert found.eigenvalues == pytest.approx((0.5, 0.0))
    with pytest.raises(RequestError, match="no weights with a gradient"):
        metric_spectrum(family("ghz_phase_sum", qubits=2, layers=1), generator=generator())


# What is refused, and plots


def test_bad_requests() -> None:
    circuit = product(2)
    for call, words in (
        (lambda: draw_parameters(circuit, 1, generator()), "samples must be at least 2"),
        (lambda: draw_parameters(circuit, 5, generator(), "both"), "inputs must be zero or random"),  # type: ignore[arg-type]
        (lambda: gradient_variance(circuit, 5, generator()), "takes one observable"),
        (lambda: cost_observable(circuit, "loca"), "cost must be local, global or own"),  # type: ignore[arg-type]
        (lambda: expressibility(circuit, bins=1, generator=generator()), "bins must be at least 2"),
        (
            lambda: gradient_variance_scan("ghz_phase_sum", [2], [1], generator=generator()),
            "has no weights, so it has no gradients",
        ),
        (
            lambda: gradient_variance_scan("matchgate", [1], [1], generator=generator()),
            "no weight of circuit matchgate with 1 qubits changes its local observable",
        ),
    ):
        with pytest.raises(RequestError, match=words):
            call()


def test_plots(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from qfedfm.quantum.diagnostics import plots

    circuit = family("strongly_entangling", qubits=2, layers=1)
    scan = gradient_variance_scan("strongly_entangling", [2, 3], [1, 2], samples=10, generator=generator())
    entangled = entangling_capability(circuit, samples=10, generator=generator())
    written = [
        plots.plot_gradient_variance(scan, tmp_path / "a" / "gradients.svg", "title"),
        plots.plot_expressibility(
            expressibility(circuit, pairs=50, generator=generator()), tmp_path / "expressibility.png"
        ),
        plots.plot_entangling_capability([(2, 1, entangled), (2, 2, entangled)], tmp_path / "entangled.svg"),
        plots.plot_metric(
            metric_spectrum(circuit, samples=3, generator=generator()), tmp_path / "metric.svg"
        ),
    ]
    for path in written:
        assert path.stat().st_size > 2000
    first = written[0].read_bytes()
    assert plots.plot_gradient_variance(scan, written[0], "title").read_bytes() == first

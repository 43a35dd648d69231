"""Four executors, one result: every family, any size, random parameters, values and gradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from quantum_judges import draw, nearest_size
from torch import Tensor

from qfedfm.circuits import Circuit, families
from qfedfm.core.errors import RequestError
from qfedfm.quantum import expectations

pytest.importorskip("pennylane")
pytest.importorskip("qiskit_aer")

EXECUTORS = ("torch", "pennylane:default.qubit", "aer")
VALUES, GRADIENTS = 1e-10, 1e-9


def values_and_gradients(
    circuit: Circuit, inputs: Tensor, weights: Tensor, executor: str
) -> tuple[Tensor, Tensor, Tensor]:
    x, w = inputs.clone().requires_grad_(), weights.clone().requires_grad_()
    out = expectations(circuit, x, w, executor)
    upstream = torch.linspace(-1, 2, out.numel(), dtype=out.dtype).reshape(out.shape).sin()
    found = [None, None]
    if out.requires_grad:
        found = torch.autograd.grad(out, (x, w), upstream, allow_unused=True)
    gx, gw = (torch.zeros_like(a) if g is None else g for g, a in zip(found, (x, w), strict=True))
    return out.detach(), gx, gw


def assert_agreement(name: str, qubits: int, layers: int, seed: int, executors: tuple[str, ...]) -> None:
    circuit = nearest_size(name, qubits, layers)
    inputs, weights = draw(circuit, batch=2, seed=seed)
    zero = list(circuit.zero_gradient_weights)
    reference = values_and_gradients(circuit, inputs, weights, "statevector")
    assert float(reference[2][zero].abs().sum()) <= 1e-12
    for executor in executors:
        if executor == "aer" and circuit.amplitudes:
            with pytest.raises(RequestError, match="no gradients of circuits with amplitudes"):
                values_and_gradients(circuit, inputs, weights, executor)
            value = expectations(circuit, inputs, weights, executor)
            torch.testing.assert_close(value, reference[0], rtol=0, atol=VALUES)
            continue
        found = values_and_gradients(circuit, inputs, weights, executor)
        for got, wanted, tolerance in zip(found, reference, (VALUES, GRADIENTS, GRADIENTS), strict=True):
            torch.testing.assert_close(got, wanted, rtol=0, atol=tolerance)
        if zero:
            assert float(found[2][zero].abs().max()) <= 1e-12, executor
    for executor in ("statevector", "torch"):
        single = values_and_gradients(circuit, inputs.float(), weights.float(), executor)
        for got, wanted, tolerance in zip(single, reference, (1e-5, 1e-4, 1e-4), strict=True):
            # A coefficient or a number of uses above 1 scales the rounding of the angles with it.
            scale = max(1.0, float(wanted.abs().max()) if wanted.numel() else 1.0)
            torch.testing.assert_close(got.double(), wanted, rtol=0, atol=tolerance * scale)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    name=st.sampled_from(families()),
    qubits=st.integers(1, 8),
    layers=st.integers(1, 2),
    seed=st.integers(0, 1000),
)
def test_our_executors_and_pennylane_agree(name: str, qubits: int, layers: int, seed: int) -> None:
    assert_agreement(name, qubits, layers, seed, ("torch", "pennylane:default.qubit"))


@pytest.mark.parametrize("name", families())
def test_all_executors_agree_on_a_small_size(name: str) -> None:
    assert_agreement(name, 3, 1, 7, EXECUTORS)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    name=st.sampled_from(families()),
    qubits=st.integers(1, 8),
    layers=st.integers(1, 3),
    seed=st.integers(0, 10_000),
)
def test_all_executors_agree(name: str, qubits: int, layers: int, seed: int) -> None:
    assert_agreement(name, qubits, layers, seed, EXECUTORS)


@pytest.mark.parametrize("name", families())
def test_finite_differences_judge(name: str) -> None:
    circuit = nearest_size(name, 3, 2)
    inputs, weights = draw(circuit, batch=1, seed=3)
    _, gx, gw = values_and_gradients(circuit, inputs, weights, "statevector")
    upstream = torch.linspace(-1, 2, circuit.n_observables, dtype=torch.float64).sin()

    def total(x: Tensor, w: Tensor) -> float:
        return float(expectations(circuit, x, w, "torch")[0] @ upstream)

    step = 1e-5
    for gradient, moved in ((gx[0], 0), (gw, 1)):
        for place in range(len(gradient)):
            ends = []
            for sign in (-1, 1):
                x, w = inputs.clone(), weights.clone()
                (x[0] if moved == 0 else w)[place] += sign * step
                ends.append(total(x, w))
            # fourth derivatives of the iqp family, whose angles are products, are large
            assert (ends[1] - ends[0]) / (2 * step) == pytest.approx(float(gradient[place]), abs=2e-7)

"""The compiled executor: the same numbers as torch, whatever the threads."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from quantum_judges import all_gates, draw, nearest_size
from torch import Tensor

from qfedfm.circuits import Circuit, Gate, Register, families, family, pauli, weight_angle
from qfedfm.core.errors import RequestError
from qfedfm.quantum import expectations, statevector


def values_and_gradients(
    circuit: Circuit, inputs: Tensor, weights: Tensor, executor: str
) -> tuple[Tensor, Tensor, Tensor]:
    x, w = inputs.clone().requires_grad_(), weights.clone().requires_grad_()
    out = expectations(circuit, x, w, executor)
    upstream = torch.linspace(-1, 2, out.numel(), dtype=out.dtype).reshape(out.shape).sin()
    gradients = torch.autograd.grad(out, (x, w), upstream, allow_unused=True)
    gx, gw = (torch.zeros_like(a) if g is None else g for g, a in zip(gradients, (x, w), strict=True))
    return out.detach(), gx, gw


def assert_agree(circuit: Circuit, inputs: Tensor, weights: Tensor) -> None:
    ours = values_and_gradients(circuit, inputs, weights, "statevector")
    reference = values_and_gradients(circuit, inputs, weights, "torch")
    for got, wanted, tolerance in zip(ours, reference, (1e-10, 1e-9, 1e-9), strict=True):
        torch.testing.assert_close(got, wanted, rtol=0, atol=tolerance)
    single = values_and_gradients(circuit, inputs.float(), weights.float(), "statevector")
    for got, wanted, tolerance in zip(single, ours, (1e-5, 1e-4, 1e-4), strict=True):
        # gradients by weight are sums over samples
        scale = max(1.0, float(wanted.abs().max()) if wanted.numel() else 1.0)
        torch.testing.assert_close(got.double(), wanted, rtol=0, atol=tolerance * scale)
    zero = list(circuit.zero_gradient_weights)
    if zero:
        assert float(ours[2][..., zero].abs().max()) <= 1e-12


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    name=st.sampled_from(families()),
    qubits=st.integers(1, 8),
    layers=st.integers(1, 3),
    batch=st.integers(1, 20),
    clients=st.integers(1, 3),
    seed=st.integers(0, 1000),
    bare=st.booleans(),
)
def test_every_family_agrees_with_torch(
    name: str, qubits: int, layers: int, batch: int, clients: int, seed: int, bare: bool
) -> None:
    circuit = nearest_size(name, qubits, layers)
    circuit = circuit.without_entanglers() if bare else circuit
    assert_agree(circuit, *draw(circuit, clients, batch=batch, seed=seed))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("qubits", [3, 5])
def test_every_gate_and_pauli_observable_agrees_with_torch(seed: int, qubits: int) -> None:
    circuit = all_gates(seed, qubits)
    assert_agree(circuit, *draw(circuit, 2, batch=18, seed=seed))


def test_finite_differences() -> None:
    circuit = all_gates(11)
    inputs, weights = draw(circuit, 1, batch=2)
    arguments = (inputs.requires_grad_(), weights.requires_grad_())
    assert torch.autograd.gradcheck(lambda x, w: expectations(circuit, x, w), arguments)


def test_threads_do_not_change_a_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = family("reuploading", qubits=5, layers=2)
    for clients, batch in ((1, 70), (3, 40)):
        inputs, weights = draw(circuit, clients, batch=batch)
        serial = values_and_gradients(circuit, inputs, weights, "statevector")
        monkeypatch.setattr(statevector.Plan, "threads", lambda self, tasks: 2)
        parallel = values_and_gradients(circuit, inputs, weights, "statevector")
        monkeypatch.undo()
        for one, other in zip(serial, parallel, strict=True):
            assert torch.equal(one, other)


def test_clients_together_equal_clients_alone_to_the_bit() -> None:
    circuit = family("strongly_entangling", qubits=4, layers=2)
    inputs, weights = draw(circuit, 5, batch=20)
    together = values_and_gradients(circuit, inputs, weights, "statevector")
    for k in range(5):
        x, w = inputs[k].clone().requires_grad_(), weights[k].clone().requires_grad_()
        out = expectations(circuit, x, w)
        upstream = torch.linspace(-1, 2, 5 * 80, dtype=out.dtype).reshape(5, 20, 4).sin()[k]
        gx, gw = torch.autograd.grad(out, (x, w), upstream)
        for one, other in zip((out, gx, gw), together, strict=True):
            assert torch.equal(one, other[k])


def test_large_angles_and_nan() -> None:
    circuit = family("strongly_entangling", qubits=3, layers=1)
    inputs, weights = draw(circuit, 1, batch=3)
    inputs[0, 0] = torch.tensor([1e6, -3e7, 12345.0], dtype=torch.float64)
    torch.testing.assert_close(
        expectations(circuit, inputs, weights), expectations(circuit, inputs, weights, "torch")
    )
    inputs[0, 1, 1] = math.nan
    assert expectations(circuit, inputs, weights)[0].isnan().any(-1).tolist() == [False, True, False]


def test_two_backward_passes_and_no_second_derivative() -> None:
    circuit = family("strongly_entangling", qubits=2, layers=1)
    inputs, weights = draw(circuit)
    weights.requires_grad_()
    out = expectations(circuit, inputs, weights).sum()
    (first,) = torch.autograd.grad(out, weights, retain_graph=True)
    (second,) = torch.autograd.grad(out, weights, retain_graph=True)
    assert torch.equal(first, second)
    with pytest.raises(RequestError, match="second derivatives"):
        torch.autograd.grad(out, weights, create_graph=True)


def test_amplitudes_as_inputs() -> None:
    gates = (
        Gate("ry", (0,), (weight_angle(0),)),
        Gate("cx", (0, 1)),
        Gate("rx", (1,), (weight_angle(1),)),
    )
    circuit = Circuit(
        2,
        gates,
        (pauli("Z", 1), pauli("XX", 0, 1)),
        (Register("amplitudes", 0, (4,)),),
        (Register("w", 0, (2,)),),
        amplitudes=True,
    )
    assert_agree(circuit, *draw(circuit, 2, batch=9))
    plain = circuit.with_observables([pauli("Z", 0), pauli("ZZ", 0, 1)])
    assert_agree(plain, *draw(plain, 2, batch=9))

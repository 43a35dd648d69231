"""What the front refuses, shots, and the layer."""

from __future__ import annotations

import pytest
import torch

from qfedfm.circuits import Circuit, Gate, family, pauli
from qfedfm.core.errors import RequestError
from qfedfm.quantum import QuantumLayer, check_executor, check_memory, expectations, initial_weights

CIRCUIT = family("strongly_entangling", qubits=3, layers=2)


@pytest.mark.parametrize(
    ("inputs", "weights", "words"),
    [
        (torch.zeros(2, 4), torch.zeros(18), r"inputs of shape \(\*clients, batch, 3\), got \(2, 4\)"),
        (torch.zeros(3), torch.zeros(18), "inputs of shape"),
        (torch.zeros(2, 3), torch.zeros(17), r"weights of shape \(18,\)"),
        (torch.zeros(5, 2, 3), torch.zeros(18), r"weights of shape \(5, 18\)"),
        (torch.zeros(2, 3), torch.zeros(18, dtype=torch.float64), "both be float32"),
        (torch.full((2, 3), torch.nan), torch.zeros(18), "inputs .* NaN"),
        (torch.zeros(2, 3), torch.full((18,), torch.inf), "weights .* infinity"),
    ],
)
def test_wrong_arguments(inputs: torch.Tensor, weights: torch.Tensor, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        expectations(CIRCUIT, inputs, weights)


def test_executor_names() -> None:
    assert check_executor("statevector") == "statevector"
    with pytest.raises(RequestError, match="did you mean 'torch'"):
        check_executor("toch")
    assert check_executor("ibm:ibm_fez") == "ibm:ibm_fez"
    with pytest.raises(RequestError, match="needs a backend: for example ibm:fake_manila"):
        check_executor("ibm")


def test_too_many_qubits_says_how_many_bytes() -> None:
    with pytest.raises(RequestError, match=r"40 qubits .* needs [\d,]+ bytes, but [\d,]+ are free"):
        check_memory(family("strongly_entangling", qubits=40, layers=2), batch=32)
    circuit = family("basic_entangler", qubits=40, layers=1)
    with pytest.raises(RequestError, match="bytes"):
        expectations(circuit, torch.zeros(1, 40), torch.zeros(40))


def test_shots_estimate_the_exact_values() -> None:
    observables = (pauli("Z", 0), pauli("XY", 0, 1), pauli("X", 2), pauli("ZZ", 1, 2, coefficient=0.5))
    circuit = CIRCUIT.with_observables(observables)
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(4, 3, generator=generator)
    weights = torch.randn(18, generator=generator)
    exact = expectations(circuit, inputs, weights)
    shots = 4000
    drawn = torch.stack(
        [expectations(circuit, inputs, weights, shots=shots, generator=generator) for _ in range(30)]
    )
    scale = torch.tensor([1, 1, 1, 0.5])
    sigma = ((scale**2 - exact**2) / shots).sqrt()
    assert ((drawn - exact).abs() < 5 * sigma + 1e-6).all()
    spread = drawn.std(0) / sigma
    assert 0.85 < spread.mean() < 1.15
    with pytest.raises(RequestError, match="shots"):
        expectations(circuit, inputs, weights, shots=0)


def test_shots_repeat_with_the_same_generator() -> None:
    draw = [
        expectations(
            CIRCUIT, torch.ones(2, 3), torch.ones(18), shots=50, generator=torch.Generator().manual_seed(3)
        )
        for _ in range(2)
    ]
    assert torch.equal(*draw)


def test_layer_has_the_same_numbers_and_trains() -> None:
    generator = torch.Generator().manual_seed(0)
    layer = QuantumLayer(CIRCUIT, generator=generator)
    assert torch.equal(layer.weights, initial_weights(CIRCUIT, torch.Generator().manual_seed(0)))
    inputs = torch.randn(2, 5, 3, generator=generator)
    out = layer(inputs)
    assert out.shape == (2, 5, 3)
    direct = expectations(CIRCUIT, inputs.reshape(10, 3), layer.weights).reshape(2, 5, 3)
    torch.testing.assert_close(out, direct, rtol=0, atol=0)
    out.sum().backward()
    gradient = layer.weights.grad
    assert gradient is not None and gradient.abs().max() > 0.01
    assert "strongly_entangling" in repr(layer)
    with pytest.raises(RequestError, match="has 18 weights"):
        QuantumLayer(CIRCUIT, weights=torch.zeros(3))


def test_a_circuit_without_gates_or_inputs() -> None:
    empty = Circuit(2, (), (pauli("Z", 0), pauli("X", 1)))
    out = expectations(empty, torch.zeros(4, 0), torch.zeros(0))
    torch.testing.assert_close(out, torch.tensor([[1.0, 0.0]]).expand(4, 2))
    flipped = Circuit(2, (Gate("x", (1,)),), (pauli("Z", 0), pauli("Z", 1)))
    torch.testing.assert_close(
        expectations(flipped, torch.zeros(1, 0), torch.zeros(0)), torch.tensor([[1.0, -1.0]])
    )

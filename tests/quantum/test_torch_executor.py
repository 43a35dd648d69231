"""The torch executor: against PennyLane, finite differences, and itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from quantum_judges import all_gates, dense, draw, nearest_size

from qfedfm.circuits import Circuit, Gate, Register, families, family, pauli, weight_angle
from qfedfm.circuits.gates import GATES
from qfedfm.quantum import expectations, states


@pytest.mark.parametrize("seed", range(6))
def test_every_gate_equals_full_matrices(seed: int) -> None:
    circuit = all_gates(seed)
    inputs, weights = draw(circuit, seed=seed)
    got = expectations(circuit, inputs, weights, "torch")
    np.testing.assert_allclose(got, dense(circuit, inputs, weights), atol=1e-12)


@pytest.mark.parametrize("name", families())
@pytest.mark.parametrize("qubits", [1, 2, 5])
def test_every_family_equals_full_matrices(name: str, qubits: int) -> None:
    for circuit in (c := nearest_size(name, qubits, 2), c.without_entanglers()):
        inputs, weights = draw(circuit)
        got = expectations(circuit, inputs, weights, "torch")
        np.testing.assert_allclose(got, dense(circuit, inputs, weights), atol=1e-12)


@pytest.mark.parametrize(("name", "qubits"), [("strongly_entangling", 3), ("reuploading", 2)])
def test_first_and_second_derivatives(name: str, qubits: int) -> None:
    circuit = family(name, qubits=qubits, layers=2)
    inputs, weights = draw(circuit, 2, batch=2)
    run = lambda x, w: expectations(circuit, x, w, "torch")  # noqa: E731
    arguments = (inputs.requires_grad_(), weights.requires_grad_())
    assert torch.autograd.gradcheck(run, arguments)
    assert torch.autograd.gradgradcheck(run, arguments)


def test_derivatives_of_every_gate() -> None:
    circuit = all_gates(3)
    inputs, weights = draw(circuit, 1, batch=2)
    arguments = (inputs.requires_grad_(), weights.requires_grad_())
    assert torch.autograd.gradcheck(lambda x, w: expectations(circuit, x, w, "torch"), arguments)


@pytest.mark.parametrize(
    "name",
    ["basic_entangler", "brickwork", "hardware_efficient", "reuploading", "strongly_entangling"],
)
@pytest.mark.parametrize("qubits", [1, 2, 4])
def test_zero_gradient_weights_are_exactly_those(name: str, qubits: int) -> None:
    whole = family(name, qubits=qubits, layers=2)
    for circuit in (whole, whole.without_entanglers()):
        largest = torch.zeros(circuit.n_weights, dtype=torch.float64)
        for seed in range(3):
            inputs, weights = draw(circuit, seed=seed)
            weights.requires_grad_()
            out = expectations(circuit, inputs, weights, "torch").flatten()
            for value in out:
                (gradient,) = torch.autograd.grad(value, weights, retain_graph=True)
                largest = torch.maximum(largest, gradient.abs())
        zero = set(circuit.zero_gradient_weights)
        for index, size in enumerate(largest.tolist()):
            assert size <= 1e-12 if index in zero else size > 1e-4, (index, size)


@pytest.mark.parametrize("seed", range(8))
def test_zero_gradient_is_never_claimed_wrongly(seed: int) -> None:
    rng = np.random.default_rng(seed)
    gates = []
    for index in range(14):  # one weight each, on few gates, so that many have no effect
        name = str(rng.choice(["rz", "rx", "crz", "rzz", "rxx", "cry", "cp", "rot"]))
        places = tuple(int(q) for q in rng.permutation(4)[: GATES[name].qubits])
        gates.append(Gate(name, places, tuple(weight_angle(index) for _ in range(GATES[name].angles))))
        name = str(
            rng.choice(["cx", "cz", "swap", "ccx", "cswap", "h", "id"], p=[0.2, 0.2, 0.1, 0.1, 0.1, 0.1, 0.2])
        )
        gates.append(Gate(name, tuple(int(q) for q in rng.permutation(4)[: GATES[name].qubits])))
    circuit = Circuit(4, tuple(gates), (pauli("Z", 1), pauli("X", 2)), (), (Register("w", 0, (14,)),))
    weights = torch.from_numpy(rng.normal(size=14)).requires_grad_()
    out = expectations(circuit, torch.zeros(1, 0, dtype=torch.float64), weights, "torch")
    for value in out[0]:
        (gradient,) = torch.autograd.grad(value, weights, retain_graph=True)
        assert gradient[list(circuit.zero_gradient_weights)].abs().sum() <= 1e-12


@pytest.mark.parametrize("name", ["strongly_entangling", "reuploading"])
def test_clients_together_equal_clients_one_by_one(name: str) -> None:
    circuit = family(name, qubits=4, layers=2)
    inputs, weights = draw(circuit, 2, 3)
    together = expectations(circuit, inputs, weights)
    assert together.shape == (2, 3, 3, 4)
    for a in range(2):
        for b in range(3):
            alone = expectations(circuit, inputs[a, b], weights[a, b])
            torch.testing.assert_close(together[a, b], alone, rtol=0, atol=1e-14)


def test_float32_is_close() -> None:
    circuit = family("strongly_entangling", qubits=6, layers=3)
    inputs, weights = draw(circuit)
    exact = expectations(circuit, inputs, weights)
    torch.testing.assert_close(
        expectations(circuit, inputs.float(), weights.float()), exact.float(), rtol=0, atol=1e-5
    )


def test_one_client_with_nan_leaves_the_others_alone() -> None:
    circuit = family("strongly_entangling", qubits=3, layers=2)
    inputs, weights = draw(circuit, 3)
    clean = expectations(circuit, inputs, weights)
    weights[1, 4] = math.nan
    dirty = expectations(circuit, inputs, weights)
    assert dirty[1].isnan().all()
    torch.testing.assert_close(dirty[[0, 2]], clean[[0, 2]], rtol=0, atol=0)


def test_states_use_the_order_of_pennylane() -> None:
    qml = pytest.importorskip("pennylane")
    circuit = family("strongly_entangling", qubits=3, layers=2)
    inputs, weights = draw(circuit, batch=2)

    @qml.qnode(qml.device("default.qubit", wires=3))
    def reference(x, w):  # type: ignore[no-untyped-def]
        qml.AngleEmbedding(x, wires=range(3), rotation="Y")
        qml.StronglyEntanglingLayers(w.reshape(2, 3, 3), wires=range(3))
        return qml.state()

    for row, x in zip(states(circuit, inputs, weights), inputs, strict=True):
        overlap = np.vdot(reference(x.numpy(), weights.numpy()), row.numpy())
        assert abs(overlap) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["strongly_entangling", "reuploading"])
def test_cuda_equals_cpu(name: str) -> None:
    circuit = family(name, qubits=5, layers=2)
    inputs, weights = draw(circuit, 2)
    on_device = expectations(circuit, inputs.cuda(), weights.cuda()).cpu()
    torch.testing.assert_close(on_device, expectations(circuit, inputs, weights), rtol=0, atol=1e-12)

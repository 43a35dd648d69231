"""The torch executor: against PennyLane, finite differences, and itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from qfedfm.circuits import Circuit, Gate, Register, families, family, input_angle, pauli, weight_angle
from qfedfm.circuits.gates import GATES
from qfedfm.quantum import expectations, states


def draw(circuit: Circuit, *leading: int, batch: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(*leading, batch, circuit.n_inputs, generator=generator, dtype=torch.float64)
    weights = torch.randn(*leading, circuit.n_weights, generator=generator, dtype=torch.float64)
    return inputs, weights


def dense(circuit: Circuit, inputs: Tensor, weights: Tensor) -> np.ndarray:
    """Expectation values by multiplying full matrices, one gate after another: the slow judge."""
    n = circuit.qubits
    letters = {
        "I": np.eye(2),
        "X": np.array([[0, 1], [1, 0]]),
        "Y": np.array([[0, -1j], [1j, 0]]),
        "Z": np.diag([1, -1]),
    }

    def embed(string: dict[int, str]) -> np.ndarray:
        full = np.eye(1)
        for qubit in range(n):
            full = np.kron(full, letters[string.get(qubit, "I")])
        return full

    results = []
    for sample in inputs.tolist():
        state = np.zeros(2**n, complex)
        state[0] = 1
        for primitive in circuit.primitives():
            if hasattr(primitive, "angle"):
                half = primitive.angle.value(sample, weights.tolist()) / 2
                matrix = embed(dict(zip(primitive.qubits, primitive.letters, strict=True)))
                state = math.cos(half) * state - 1j * math.sin(half) * matrix @ state
            else:
                one = {q: (embed({}) - embed({q: "Z"})) / 2 for q in primitive.qubits}
                *controls, target = primitive.qubits
                active = embed({})
                if primitive.name in ("swap", "cswap"):
                    controls, pair = primitive.qubits[:-2], primitive.qubits[-2:]
                    action = sum(embed({pair[0]: p, pair[1]: p} if p != "I" else {}) for p in "IXYZ") / 2
                else:
                    action = embed({target: "Z" if primitive.name == "cz" else "X"})
                for control in controls:
                    active = active @ one[control]
                state = state - active @ state + active @ action @ state
        row = []
        for observable in circuit.observables:
            matrix = sum(c * embed(dict(string)) for c, string in observable.terms)
            row.append((state.conj() @ matrix @ state).real)
        results.append(row)
    return np.array(results)


def all_gates(seed: int, qubits: int = 4, count: int = 40) -> Circuit:
    """A random circuit that uses every gate, with inputs and weights mixed in the angles."""
    rng = np.random.default_rng(seed)
    names = [name for name in GATES if GATES[name].qubits <= qubits]
    names += list(rng.choice(names, count - len(names))) if len(names) < count else []
    rng.shuffle(names)
    gates = []
    for name in names:
        places = tuple(int(q) for q in rng.permutation(qubits)[: GATES[name].qubits])
        angles = []
        for _ in range(GATES[name].angles):
            x, w = int(rng.integers(3)), int(rng.integers(5))
            choices = [input_angle(x), weight_angle(w), input_angle(x) * weight_angle(w) + 0.3]
            angles.append(choices[int(rng.integers(3))])
        gates.append(Gate(name, places, tuple(angles)))
    observables = (pauli("Z", 0), pauli("XY", 0, qubits - 1), pauli("YZX", 0, 1, 2, coefficient=0.7))
    return Circuit(qubits, tuple(gates), observables, (Register("x", 0, (3,)),), (Register("w", 0, (5,)),))


@pytest.mark.parametrize("seed", range(6))
def test_every_gate_equals_full_matrices(seed: int) -> None:
    circuit = all_gates(seed)
    inputs, weights = draw(circuit, seed=seed)
    got = expectations(circuit, inputs, weights, "torch")
    np.testing.assert_allclose(got, dense(circuit, inputs, weights), atol=1e-12)


@pytest.mark.parametrize("name", families())
@pytest.mark.parametrize("qubits", [1, 2, 5])
def test_every_family_equals_full_matrices(name: str, qubits: int) -> None:
    for circuit in (c := family(name, qubits=qubits, layers=2), c.without_entanglers()):
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


@pytest.mark.parametrize("name", families())
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
@pytest.mark.parametrize("name", ["strongly_entangling", "reuploading"])
def test_cuda_equals_cpu(name: str) -> None:
    circuit = family(name, qubits=5, layers=2)
    inputs, weights = draw(circuit, 2)
    on_device = expectations(circuit, inputs.cuda(), weights.cuda()).cpu()
    torch.testing.assert_close(on_device, expectations(circuit, inputs, weights), rtol=0, atol=1e-12)

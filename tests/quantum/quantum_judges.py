"""Circuits and judges that the tests of this room share."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from qfedfm.circuits import Circuit, Gate, Register, family, input_angle, pauli, weight_angle
from qfedfm.circuits.gates import GATES


def nearest_size(name: str, qubits: int, layers: int) -> Circuit:
    """The family's circuit of this size, or of the nearest size that it has."""
    if name == "swap_test":
        qubits = max(3, qubits - 1 + qubits % 2)
    if name == "hadamard_test":
        qubits = max(2, qubits)
    return family(name, qubits=qubits, layers=1 if name == "bb84_prepare_measure" else layers)


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
        if circuit.amplitudes:
            state = np.array(sample, complex) / np.linalg.norm(sample)
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

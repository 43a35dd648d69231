"""Overlaps of updates as a quantum computer would measure them, by the exact distribution of outcomes.

An update u is the state with amplitudes u/‖u‖. Two states a, b with real overlap c = ⟨a|b⟩ = cos(u_a, u_b):

* swap test: the ancilla is 0 with (1 + c²)/2, so M shots estimate F = c² with variance (1 − F²)/M. It is
  blind to the sign: u and −u score the same.
* Hadamard test: the ancilla is 0 with (1 + c)/2, so M shots estimate c with variance (1 − c²)/M and sign.

Preparing d amplitudes takes of the order of d gates, and c itself is d multiplications: there is no speed to
gain here, only shot noise. Shapes: K = clients, d = numbers of an update, m = qubits of a state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qfedfm.circuits import Circuit, Gate, Register, pauli

if TYPE_CHECKING:
    from torch import Tensor

Values = NDArray[np.float64]


def cosines(rows_KD: Tensor, reference_D: Tensor) -> Values:
    """Returns cos(u_k, reference), shape (K,); 0 where one of the two is 0."""
    rows, reference = rows_KD.double(), reference_D.double()
    sizes = rows.norm(dim=1) * reference.norm()
    found = (rows @ reference) / sizes.clamp_min(1e-300)
    exact: Values = found.where(sizes > 0, 0.0).clamp(-1.0, 1.0).cpu().numpy()
    return exact


def swap_tested(cosine: Values, shots: int, rng: np.random.Generator) -> Values:
    """Returns estimates of F = c², shape (K,), in [-1, 1].

    Args:
        cosine: c, shape (K,).
        shots: M for each.
        rng: Source of outcomes.
    """
    return 2.0 * rng.binomial(shots, (1.0 + cosine**2) / 2.0) / shots - 1.0


def hadamard_tested(cosine: Values, shots: int, rng: np.random.Generator) -> Values:
    """Returns estimates of c, shape (K,), in [-1, 1]; arguments as in :func:`swap_tested`."""
    return 2.0 * rng.binomial(shots, (1.0 + cosine) / 2.0) / shots - 1.0


def swap_test_circuit(qubits: int) -> Circuit:
    """Returns the test of two amplitude-encoded states of m qubits: the family's, on given states.

    Inputs are the amplitudes of ``|0⟩|a⟩|b⟩``, shape (2^(1 + 2m),); ⟨Z⟩ of the first qubit is F.
    """
    m = qubits
    gates = [Gate("h", (0,)), *(Gate("cswap", (0, 1 + k, 1 + m + k)) for k in range(m)), Gate("h", (0,))]
    return _on_amplitudes("swap_test_amplitudes", 1 + 2 * m, tuple(gates))


def hadamard_test_circuit(qubits: int) -> Circuit:
    """Returns the signed test of two amplitude-encoded states of m qubits.

    Inputs are the amplitudes of ``(|0⟩|a⟩ + |1⟩|b⟩)/√2``, as a preparation controlled by the first qubit
    leaves it, shape (2^(1 + m),); ⟨Z⟩ of the first qubit after a Hadamard gate is c.
    """
    return _on_amplitudes("hadamard_test_amplitudes", 1 + qubits, (Gate("h", (0,)),))


def _on_amplitudes(name: str, qubits: int, gates: tuple[Gate, ...]) -> Circuit:
    inputs = (Register("amplitudes", 0, (2**qubits,)),)
    return Circuit(qubits, gates, (pauli("Z", 0),), inputs=inputs, name=name, amplitudes=True)

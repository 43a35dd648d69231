"""A sum of phases from a GHZ state. Kómár et al., 2014, arXiv:1310.6045."""

from __future__ import annotations

from qfedfm.circuits.angle import input_angle
from qfedfm.circuits.circuit import Circuit, Gate, Register, pauli


def ghz_phase_sum(*, qubits: int, layers: int) -> Circuit:
    """Every client turns its qubit of a GHZ state; only the sum of the angles can be measured.

    ``<X X ... X> = cos(sum x)`` and ``<Y X ... X> = sin(sum x)``; without the other qubits each looks random.

    Used for: learning only the sum of what clients hold.

    Args:
        qubits: Number of clients, one qubit each.
        layers: Repetitions of the encoding (amplifies the phase).
    """
    gates = [Gate("h", (0,)), *(Gate("cx", (q, q + 1)) for q in range(qubits - 1))]
    for _ in range(layers):
        gates += [Gate("rz", (q,), (input_angle(q),)) for q in range(qubits)]
    wires = range(qubits)
    return Circuit(
        qubits,
        tuple(gates),
        (pauli("X" * qubits, *wires), pauli("Y" + "X" * (qubits - 1), *wires)),
        inputs=(Register("x", 0, (qubits,)),),
        name="ghz_phase_sum",
    )

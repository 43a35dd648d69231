"""Amplitude embedding: 2^n features in n qubits. Schuld, Petruccione, 2018, Supervised Learning with QC."""

from __future__ import annotations

from qfedfm.circuits.circuit import Circuit, Register
from qfedfm.circuits.families.blocks import cnot_ring, measure_all, rot_layer


def amplitude(*, qubits: int, layers: int) -> Circuit:
    """The inputs are the amplitudes of the initial state, normalised; then strongly entangling layers.

    Inputs have shape ``(2**qubits,)``, weights ``(layers, qubits, 3)``.

    Used for: heads that take many features in few qubits, on simulators: preparing the state costs a
    device exponentially many gates.

    Args:
        qubits: Number of qubits.
        layers: Number of layers.
    """
    gates = []
    for layer in range(layers):
        gates += rot_layer(qubits, 3 * qubits * layer)
        gates += cnot_ring(qubits, 1 + layer % max(1, qubits - 1))
    return Circuit(
        qubits,
        tuple(gates),
        measure_all(qubits),
        inputs=(Register("amplitudes", 0, (2**qubits,)),),
        weights=(Register("w", 0, (layers, qubits, 3)),),
        name="amplitude",
        amplitudes=True,
    )

"""Brickwork: blocks on neighbouring pairs, alternating. Brown, Fawzi, 2012, arXiv:1210.6644."""

from __future__ import annotations

from qfedfm.circuits.angle import weight_angle
from qfedfm.circuits.circuit import Circuit, Gate, Register
from qfedfm.circuits.families.blocks import angle_embedding, measure_all


def brickwork(*, qubits: int, layers: int, embedding: str = "RY") -> Circuit:
    """Angle embedding, then layers of ``Rot`` on every qubit and a CNOT on every second pair.

    Even layers join (0, 1), (2, 3), ...; odd layers (1, 2), (3, 4), ... Weights have shape
    ``(layers, qubits, 3)``.

    Used for: heads on devices with a line of qubits; local circuits whose depth sets how far they see.

    Args:
        qubits: Number of qubits.
        layers: Number of layers.
        embedding: ``RX``, ``RY`` or ``RZ``.
    """
    gates = angle_embedding(qubits, embedding)
    for layer in range(layers):
        gates += [
            Gate("rot", (q,), tuple(weight_angle((layer * qubits + q) * 3 + k) for k in range(3)))
            for q in range(qubits)
        ]
        gates += [Gate("cx", (q, q + 1)) for q in range(layer % 2, qubits - 1, 2)]
    return Circuit(
        qubits,
        tuple(gates),
        measure_all(qubits),
        inputs=(Register("x", 0, (qubits,)),),
        weights=(Register("w", 0, (layers, qubits, 3)),),
        name="brickwork",
    )

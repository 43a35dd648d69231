"""Basic entangling layers, as in PennyLane. Bergholm et al., 2018, arXiv:1811.04968."""

from __future__ import annotations

from qfedfm.circuits.angle import weight_angle
from qfedfm.circuits.circuit import Circuit, Gate, Register
from qfedfm.circuits.families.blocks import angle_embedding, cnot_ring, measure_all, rotation_name


def basic_entangler(*, qubits: int, layers: int, embedding: str = "RY", rotation: str = "RX") -> Circuit:
    """Angle embedding, then layers of one rotation per qubit and a ring of CNOTs.

    With two qubits the ring is a single CNOT, as in PennyLane. Weights have shape ``(layers, qubits)``.

    Used for: heads with few weights; a small baseline beside strongly_entangling.

    Args:
        qubits: Number of qubits.
        layers: Number of layers.
        embedding: Rotation of the embedding: ``RX``, ``RY`` or ``RZ``.
        rotation: Rotation of the layers.
    """
    gates = angle_embedding(qubits, embedding)
    name = rotation_name(rotation)
    for layer in range(layers):
        gates += [Gate(name, (q,), (weight_angle(layer * qubits + q),)) for q in range(qubits)]
        gates += cnot_ring(qubits)[: 1 if qubits == 2 else None]
    return Circuit(
        qubits,
        tuple(gates),
        measure_all(qubits),
        inputs=(Register("x", 0, (qubits,)),),
        weights=(Register("w", 0, (layers, qubits)),),
        name="basic_entangler",
    )

"""Data re-uploading: the inputs enter before every layer. Pérez-Salinas et al., 2020, arXiv:1907.02085."""

from __future__ import annotations

from qfedfm.circuits.circuit import Circuit, Register
from qfedfm.circuits.families.blocks import angle_embedding, cnot_ring, measure_all, rot_layer


def reuploading(*, qubits: int, layers: int, embedding: str = "RY") -> Circuit:
    """Strongly entangling layers with the angle embedding repeated before each of them.

    Weights have shape ``(layers, qubits, 3)``.

    Used for: heads whose output is a richer Fourier series of the inputs: one frequency more a layer.

    Args:
        qubits: Number of qubits.
        layers: Number of layers, each with its own embedding.
        embedding: ``RX``, ``RY`` or ``RZ``.
    """
    gates = []
    for layer in range(layers):
        gates += angle_embedding(qubits, embedding)
        gates += rot_layer(qubits, 3 * qubits * layer)
        gates += cnot_ring(qubits, 1 + layer % max(1, qubits - 1))
    return Circuit(
        qubits,
        tuple(gates),
        measure_all(qubits),
        inputs=(Register("x", 0, (qubits,)),),
        weights=(Register("w", 0, (layers, qubits, 3)),),
        name="reuploading",
    )

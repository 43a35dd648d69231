"""Strongly entangling layers. Schuld, Bocharov, Svore, Wiebe, 2018, arXiv:1804.00633."""

from __future__ import annotations

from qfedfm.circuits.circuit import Circuit, Register
from qfedfm.circuits.families.blocks import angle_embedding, cnot_ring, measure_all, rot_layer


def strongly_entangling(*, qubits: int, layers: int, embedding: str = "RY") -> Circuit:
    """Angle embedding, then layers of ``Rot`` on every qubit and a ring of CNOTs.

    Layer ``l`` joins qubit ``q`` to ``q + 1 + (l mod (n - 1))``; the same circuit as PennyLane's
    ``AngleEmbedding`` and ``StronglyEntanglingLayers``. Weights have shape ``(layers, qubits, 3)``.

    Used for: the default head.

    Args:
        qubits: Number of qubits n.
        layers: Number of layers.
        embedding: ``RX``, ``RY`` or ``RZ``.
    """
    gates = angle_embedding(qubits, embedding)
    for layer in range(layers):
        gates += rot_layer(qubits, 3 * qubits * layer)
        gates += cnot_ring(qubits, 1 + layer % max(1, qubits - 1))
    return Circuit(
        qubits,
        tuple(gates),
        measure_all(qubits),
        inputs=(Register("x", 0, (qubits,)),),
        weights=(Register("w", 0, (layers, qubits, 3)),),
        name="strongly_entangling",
    )

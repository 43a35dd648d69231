"""Quantum convolution and pooling. Cong, Choi, Lukin, 2019, arXiv:1810.03787."""

from __future__ import annotations

from qfedfm.circuits.angle import Angle, weight_angle
from qfedfm.circuits.circuit import Circuit, Gate, Register, pauli
from qfedfm.circuits.families.blocks import angle_embedding


def convolution(*, qubits: int, layers: int, embedding: str = "RY") -> Circuit:
    """Angle embedding, then layers that convolve the kept qubits and pool half of them away.

    A convolution is the same block on every pair of neighbours: two ``RY``, ``RZZ`` and ``RXX``. Pooling
    turns the kept qubit by an angle that depends on the other: measured mid-way in the paper, a
    controlled rotation here, which gives the same expectation values (deferred measurement). Layers
    beyond the point where one qubit is left only rotate it. Weights have shape ``(layers, 6)``: four of the
    block, two of the pooling. What is measured are ``X``, ``Y`` and ``Z`` of the qubits that remain.

    Used for: heads with weights shared between qubits; known to have no barren plateaus.

    Args:
        qubits: Number of qubits.
        layers: Number of layers.
        embedding: ``RX``, ``RY`` or ``RZ``.
    """
    gates = angle_embedding(qubits, embedding)
    kept = list(range(qubits))
    for layer in range(layers):
        angles: list[Angle] = [weight_angle(6 * layer + k) for k in range(6)]
        pairs = list(zip(kept[0::2], kept[1::2], strict=False)) + list(
            zip(kept[1::2], kept[2::2], strict=False)
        )
        for a, b in pairs:
            gates += [
                Gate("ry", (a,), (angles[0],)),
                Gate("ry", (b,), (angles[1],)),
                Gate("rzz", (a, b), (angles[2],)),
                Gate("rxx", (a, b), (angles[3],)),
            ]
        for a, b in zip(kept[0::2], kept[1::2], strict=False):
            gates += [Gate("crz", (b, a), (angles[4],)), Gate("crx", (b, a), (angles[5],))]
        if len(kept) == 1:
            gates += [Gate("rz", (kept[0],), (angles[4],)), Gate("rx", (kept[0],), (angles[5],))]
        kept = kept[0::2]
    return Circuit(
        qubits,
        tuple(gates),
        tuple(pauli(letter, qubit) for qubit in kept for letter in "XYZ"),
        inputs=(Register("x", 0, (qubits,)),),
        weights=(Register("w", 0, (layers, 6)),),
        name="convolution",
    )

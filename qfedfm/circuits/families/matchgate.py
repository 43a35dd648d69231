"""Matchgate circuits: free fermions, classically easy, a control. Jozsa, Miyake, 2008, arXiv:0804.4050."""

from __future__ import annotations

from qfedfm.circuits.angle import weight_angle
from qfedfm.circuits.circuit import Circuit, Gate, Register
from qfedfm.circuits.families.blocks import angle_embedding, measure_all


def matchgate(*, qubits: int, layers: int) -> Circuit:
    """Layers of ``RXX`` and ``RYY`` on neighbours, an ``RZ`` embedding and ``RZ`` on every qubit.

    All these gates map products of Majorana operators to products of as many, so the circuit can be
    simulated in polynomial time: what it cannot do, entanglement alone does not buy. The pairs follow
    once more after the last layer. Weights: register ``w`` of shape ``(layers + 1, qubits - 1, 2)`` for
    the pairs and ``v`` of shape ``(layers, qubits)``.

    Used for: a control: entanglement that a classical computer follows in polynomial time.

    Args:
        qubits: Number of qubits.
        layers: Number of layers, each with its own embedding.
    """
    pairs = qubits - 1
    first = (layers + 1) * pairs * 2
    gates: list[Gate] = []
    for layer in range(layers + 1):
        for a in [*range(0, pairs, 2), *range(1, pairs, 2)]:
            start = (layer * pairs + a) * 2
            gates.append(Gate("rxx", (a, a + 1), (weight_angle(start),)))
            gates.append(Gate("ryy", (a, a + 1), (weight_angle(start + 1),)))
        if layer < layers:
            gates += angle_embedding(qubits, "RZ")
            gates += [Gate("rz", (q,), (weight_angle(first + layer * qubits + q),)) for q in range(qubits)]
    registers = (Register("w", 0, (layers + 1, pairs, 2)), Register("v", first, (layers, qubits)))
    return Circuit(
        qubits,
        tuple(gates),
        measure_all(qubits),
        inputs=(Register("x", 0, (qubits,)),),
        weights=registers if pairs else registers[1:],
        name="matchgate",
    )

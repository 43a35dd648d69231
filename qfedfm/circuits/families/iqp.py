"""Instantaneous quantum polynomial circuits, the ZZ feature map. Havlíček et al., 2019, arXiv:1804.11326."""

from __future__ import annotations

import math

from qfedfm.circuits.angle import input_angle, weight_angle
from qfedfm.circuits.circuit import Circuit, Gate, Register
from qfedfm.circuits.families.blocks import measure_all, topology_edges


def iqp(*, qubits: int, layers: int, topology: str = "all_to_all", trained: bool = True) -> Circuit:
    """Layers of Hadamards and of the phases ``x_i`` and ``(pi - x_i)(pi - x_j)``, then trained rotations.

    The feature map alone is Qiskit's ``zz_feature_map``: after the Hadamards, ``P(2 x_i)`` on every qubit
    and ``P(2 (pi - x_i)(pi - x_j))`` between two CNOTs on every pair.

    Used for: feature maps and kernels whose values are thought hard to sample classically.

    Args:
        qubits: Number of qubits.
        layers: Repetitions of the feature map.
        topology: Pairs of qubits: ``all_to_all``, ``line``, ``ring`` or ``heavy_hex``.
        trained: Whether ``Rot`` with weights of shape ``(qubits, 3)`` follows on every qubit.
    """
    gates: list[Gate] = []
    for _ in range(layers):
        gates += [Gate("h", (qubit,)) for qubit in range(qubits)]
        gates += [Gate("p", (qubit,), (input_angle(qubit, 2.0),)) for qubit in range(qubits)]
        for a, b in topology_edges(qubits, topology):
            angle = 2.0 * (math.pi - input_angle(a)) * (math.pi - input_angle(b))
            gates += [Gate("cx", (a, b)), Gate("p", (b,), (angle,)), Gate("cx", (a, b))]
    registers: tuple[Register, ...] = ()
    if trained:
        registers = (Register("w", 0, (qubits, 3)),)
        gates += [Gate("rot", (q,), tuple(weight_angle(3 * q + k) for k in range(3))) for q in range(qubits)]
    return Circuit(
        qubits,
        tuple(gates),
        measure_all(qubits),
        inputs=(Register("x", 0, (qubits,)),),
        weights=registers,
        name="iqp",
    )

"""Hardware-efficient ansatz. Kandala et al., 2017, arXiv:1704.05018."""

from __future__ import annotations

from collections.abc import Iterable

from qfedfm.circuits.angle import weight_angle
from qfedfm.circuits.circuit import Circuit, Gate, Register
from qfedfm.circuits.families.blocks import (
    angle_embedding,
    as_tuple,
    measure_all,
    rotation_name,
    topology_edges,
)
from qfedfm.core.config import nearest
from qfedfm.core.errors import RequestError

_ENTANGLERS = ("cx", "cz", "rzz", "crx", "crz", "iswap")


def hardware_efficient(
    *,
    qubits: int,
    layers: int,
    embedding: str = "RY",
    rotations: str | Iterable[str] = ("RY", "RZ"),
    entangler: str = "cx",
    topology: str = "line",
    final_rotations: bool = True,
) -> Circuit:
    """Angle embedding, then layers of rotations and entanglers that a processor has natively.

    Weights: register ``w`` of shape ``(layers [+ 1], qubits, rotations)``, and ``v`` of shape
    ``(layers, pairs)`` if the entangler takes an angle.

    Used for: heads for a given device: its rotations, its entangler, its topology.

    Args:
        qubits: Number of qubits.
        layers: Number of layers.
        embedding: Rotation of the embedding: ``RX``, ``RY`` or ``RZ``.
        rotations: Rotations on every qubit, in order.
        entangler: ``cx``, ``cz``, ``rzz``, ``crx``, ``crz`` or ``iswap``.
        topology: ``line``, ``ring``, ``all_to_all`` or ``heavy_hex``.
        final_rotations: Whether one more layer of rotations follows the last entanglers.
    """
    names = [rotation_name(rotation) for rotation in as_tuple(rotations)]
    entangler = str(entangler).lower()
    if not names:
        raise RequestError("rotations of hardware_efficient must name at least one of RX, RY, RZ")
    if entangler not in _ENTANGLERS:
        raise RequestError(f"unknown entangler {entangler!r}{nearest(entangler, _ENTANGLERS)}")
    edges = topology_edges(qubits, topology)
    rotation_layers = layers + bool(final_rotations)
    registers = [Register("w", 0, (rotation_layers, qubits, len(names)))]
    angled = entangler in ("rzz", "crx", "crz") and bool(edges)
    if angled:
        registers.append(Register("v", registers[0].size, (layers, len(edges))))
    gates = angle_embedding(qubits, embedding)
    for layer in range(rotation_layers):
        gates += [
            Gate(name, (q,), (weight_angle((layer * qubits + q) * len(names) + k),))
            for q in range(qubits)
            for k, name in enumerate(names)
        ]
        if layer < layers:
            start = registers[0].size + layer * len(edges)
            gates += [
                Gate(entangler, edge, (weight_angle(start + k),) if angled else ())
                for k, edge in enumerate(edges)
            ]
    return Circuit(
        qubits,
        tuple(gates),
        measure_all(qubits),
        inputs=(Register("x", 0, (qubits,)),),
        weights=tuple(registers),
        name="hardware_efficient",
    )

"""Blocks that several families share: embeddings, rings of CNOTs, measured qubits."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from qfedfm.circuits.angle import input_angle, weight_angle
from qfedfm.circuits.circuit import Gate, Observable, pauli
from qfedfm.core.config import nearest
from qfedfm.core.errors import RequestError

ROTATIONS = ("RX", "RY", "RZ")


def rotation_name(name: str) -> str:
    """Returns the gate of ``RX``, ``RY`` or ``RZ`` (any case), or raises a sentence."""
    if str(name).upper() not in ROTATIONS:
        raise RequestError(f"unknown rotation {name!r}{nearest(str(name), ROTATIONS)}")
    return str(name).lower()


def angle_embedding(qubits: int, rotation: str = "RY") -> list[Gate]:
    """One rotation per qubit by the input of the same number."""
    gate = rotation_name(rotation)
    return [Gate(gate, (qubit,), (input_angle(qubit),)) for qubit in range(qubits)]


def rot_layer(qubits: int, start: int) -> list[Gate]:
    """``Rot`` on every qubit, with weights ``start + 3 * qubit`` and the two after it."""
    return [
        Gate("rot", (q,), tuple(weight_angle(start + 3 * q + k) for k in range(3))) for q in range(qubits)
    ]


def cnot_ring(qubits: int, distance: int = 1) -> list[Gate]:
    """``cx`` from every qubit to the one ``distance`` further, modulo the number of qubits."""
    if qubits == 1:
        return []
    return [Gate("cx", (qubit, (qubit + distance) % qubits)) for qubit in range(qubits)]


def topology_edges(qubits: int, topology: str) -> list[tuple[int, int]]:
    """Returns the pairs of qubits that an entangler joins.

    ``line``, ``ring`` and ``all_to_all`` are what they say. ``heavy_hex`` takes rows of five qubits
    joined by bridge qubits, so that no qubit has more than three neighbours and every pair lies on
    the lattice of IBM's processors; pairs that can run at once stand together.
    """
    line = [(q, q + 1) for q in range(qubits - 1)]
    if topology == "line":
        return line
    if topology == "ring":
        return [*line, (qubits - 1, 0)] if qubits > 2 else line
    if topology == "all_to_all":
        return list(itertools.combinations(range(qubits), 2))
    if topology == "heavy_hex":
        return _heavy_hex(qubits)
    raise RequestError(
        f"unknown topology {topology!r}{nearest(topology, ('line', 'ring', 'all_to_all', 'heavy_hex'))}"
    )


def _heavy_hex(qubits: int) -> list[tuple[int, int]]:
    # Rows of five qubits (columns 0 to 4), joined by bridges: at columns 0 and 4 below even rows, at column 2
    # below odd ones. Qubits 0-4 are a row, 5 and 6 its bridges, 7-11 a row, 12 its bridge, 13-17 a row, ...;
    # a row below one bridge is numbered outwards from it, so that the first n qubits are always connected.
    edges: list[tuple[int, int]] = []
    above: dict[int, int] = {}  # the bridges that the row hangs from, by column
    start = row = 0
    while start < qubits:
        order = (0, 1, 2, 3, 4) if row % 2 or not row else (2, 1, 3, 0, 4)
        place = {column: start + k for k, column in enumerate(order)}
        edges += [(bridge, place[column]) for column, bridge in above.items()]
        edges += [(place[column], place[column + 1]) for column in range(4)]
        below = (2,) if row % 2 else (0, 4)
        above = {column: start + 5 + k for k, column in enumerate(below)}
        edges += [(place[column], bridge) for column, bridge in above.items()]
        start, row = start + 5 + len(below), row + 1
    kept = [edge for edge in edges if max(edge) < qubits]
    return sorted(kept, key=lambda edge: (min(edge) % 2, edge))


def measure_all(qubits: int) -> tuple[Observable, ...]:
    """``Z`` on every qubit."""
    return tuple(pauli("Z", qubit) for qubit in range(qubits))


def as_tuple(value: str | Iterable[str]) -> tuple[str, ...]:
    """Returns ``("RY",)`` for ``"RY"`` and a tuple for any other iterable."""
    return (value,) if isinstance(value, str) else tuple(value)

"""Quantum approximate optimisation of MaxCut. Farhi, Goldstone, Gutmann, 2014, arXiv:1411.4028."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qfedfm.circuits.angle import weight_angle
from qfedfm.circuits.circuit import Circuit, Gate, Observable, PauliString, Register
from qfedfm.circuits.families.blocks import topology_edges
from qfedfm.core.errors import RequestError


def qaoa(
    *,
    qubits: int,
    layers: int,
    topology: str = "ring",
    edges: Sequence[Sequence[float]] = (),
    fields: Sequence[float] = (),
) -> Circuit:
    """From the uniform superposition, layers of the cost ``RZZ(c gamma)`` on all edges and of ``RX(beta)``.

    The only observable is the expected cut, ``sum c (1 - Z_i Z_j) / 2`` over edges of weight ``c``. Weights
    have shape ``(layers, 2)``: gamma, beta. A field ``f`` on a vertex is an edge of weight ``f`` to a vertex
    that stays 0: it adds ``RZ(f gamma)`` and ``f (1 - Z_i) / 2``, which makes any Ising problem a cut.

    Used for: choosing subsets, such as which updates to combine.

    Args:
        qubits: Number of vertices.
        layers: Number of layers p.
        topology: The graph: ``ring``, ``line``, ``all_to_all`` or ``heavy_hex``; all edges of weight 1.
        edges: A graph of one's own instead: pairs of vertices, or triples with a weight.
        fields: One number for each vertex; with fields and no edges there are no edges.
    """
    weighted = [_edge(edge, qubits) for edge in edges]
    if not edges and not fields:
        weighted = [(a, b, 1.0) for a, b in topology_edges(qubits, topology)]
    if fields and (len(fields) != qubits or not all(math.isfinite(f) for f in fields)):
        raise RequestError(f"fields of circuit qaoa: {list(fields)} is not {qubits} finite numbers")
    pulls = [(q, float(f)) for q, f in enumerate(fields) if f]
    gates = [Gate("h", (q,)) for q in range(qubits)]
    for layer in range(layers):
        gates += [Gate("rzz", (a, b), (weight_angle(2 * layer, c),)) for a, b, c in weighted]
        gates += [Gate("rz", (q,), (weight_angle(2 * layer, f),)) for q, f in pulls]
        gates += [Gate("rx", (q,), (weight_angle(2 * layer + 1),)) for q in range(qubits)]
    total = sum(c for _, _, c in weighted) + sum(f for _, f in pulls)
    terms: list[tuple[float, PauliString]] = [(0.5 * total, ())]
    terms += [(-0.5 * c, ((min(a, b), "Z"), (max(a, b), "Z"))) for a, b, c in weighted]
    terms += [(-0.5 * f, ((q, "Z"),)) for q, f in pulls]
    cut = Observable(tuple(terms))
    return Circuit(
        qubits,
        tuple(gates),
        (cut,),
        weights=(Register("w", 0, (layers, 2)),),
        name="qaoa",
    )


def _edge(edge: Sequence[float], qubits: int) -> tuple[int, int, float]:
    pair, weight = tuple(edge[:2]), float(edge[2]) if len(edge) == 3 else 1.0
    whole = len(edge) in (2, 3) and all(vertex in range(qubits) for vertex in pair)
    if not whole or pair[0] == pair[1] or weight == 0.0 or not math.isfinite(weight):
        raise RequestError(
            f"edges of circuit qaoa: {list(edge)} is not two different vertices from 0 to {qubits - 1} and, "
            "if it has a third number, a weight other than 0"
        )
    return int(pair[0]), int(pair[1]), weight

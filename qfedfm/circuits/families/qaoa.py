"""Quantum approximate optimisation of MaxCut. Farhi, Goldstone, Gutmann, 2014, arXiv:1411.4028."""

from __future__ import annotations

from qfedfm.circuits.angle import weight_angle
from qfedfm.circuits.circuit import Circuit, Gate, Observable, Register
from qfedfm.circuits.families.blocks import topology_edges


def qaoa(*, qubits: int, layers: int, topology: str = "ring") -> Circuit:
    """From the uniform superposition, layers of the cost ``RZZ(gamma)`` on all edges and of ``RX(beta)``.

    The only observable is the expected cut, ``sum (1 - Z_i Z_j) / 2``. Weights have shape ``(layers, 2)``:
    gamma, beta.

    Args:
        qubits: Number of vertices.
        layers: Number of layers p.
        topology: The graph: ``ring``, ``line``, ``all_to_all`` or ``heavy_hex``.
    """
    edges = topology_edges(qubits, topology)
    gates = [Gate("h", (q,)) for q in range(qubits)]
    for layer in range(layers):
        gates += [Gate("rzz", edge, (weight_angle(2 * layer),)) for edge in edges]
        gates += [Gate("rx", (q,), (weight_angle(2 * layer + 1),)) for q in range(qubits)]
    terms = [(-0.5, tuple((q, "Z") for q in sorted(edge))) for edge in edges]
    cut = Observable(((0.5 * len(edges), ()), *terms))
    return Circuit(
        qubits,
        tuple(gates),
        (cut,),
        weights=(Register("w", 0, (layers, 2)),),
        name="qaoa",
    )

"""The gates that the OpenQASM readers of Qiskit and PennyLane both know, and how the others are made."""

from __future__ import annotations

from dataclasses import replace

from qfedfm.circuits.circuit import Circuit, Gate

#: Gates of ``stdgates.inc`` that are gates of ours, that PennyLane knows too.
STANDARD = frozenset(
    "id x y z h s sdg t tdg sx rx ry rz p u3 cx cy cz ch swap crx cry crz cp ccx cswap".split()
)


def standard_gates(circuit: Circuit) -> Circuit:
    """Returns the same circuit, up to a global phase, in :data:`STANDARD` gates only."""
    gates = [step for gate in circuit.gates for step in _standard(gate)]
    return replace(circuit, gates=tuple(gates))


def _standard(gate: Gate) -> list[Gate]:
    if gate.name in STANDARD:
        return [gate]
    q = gate.qubits
    if gate.name == "rot":
        return [Gate(name, q, (angle,)) for name, angle in zip(("rz", "ry", "rz"), gate.angles, strict=True)]
    if gate.name == "iswap":
        a, b = q
        return [
            Gate("s", (a,)), Gate("s", (b,)), Gate("h", (a,)),
            Gate("cx", q), Gate("cx", (b, a)), Gate("h", (b,)),
        ]  # fmt: skip
    # exp(-i a PP / 2): into the basis of P, a parity, and back
    before, after = {"rzz": ([], []), "rxx": (["h"], ["h"]), "ryy": (["sdg", "h"], ["h", "s"])}[gate.name]
    turn = [Gate(name, (qubit,)) for qubit in q for name in before]
    back = [Gate(name, (qubit,)) for qubit in q for name in after]
    parity = [Gate("cx", q), Gate("rz", q[1:], gate.angles), Gate("cx", q)]
    return [*turn, *parity, *back]

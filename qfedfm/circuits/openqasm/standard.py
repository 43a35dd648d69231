"""The gates that the OpenQASM readers of Qiskit and PennyLane both know, and how the others are made."""

from __future__ import annotations

from dataclasses import replace

from qfedfm.circuits.circuit import Circuit, Gate
from qfedfm.circuits.gates import Rotation

#: Gates of ``stdgates.inc`` that are gates of ours, and that PennyLane knows and runs too (its ``u3`` fails
#: if only some of the angles are parameters).
STANDARD = frozenset("id x y z h s sdg t tdg sx rx ry rz p cx cy cz ch swap crx cry crz cp ccx cswap".split())


def standard_gates(circuit: Circuit) -> Circuit:
    """Returns the same circuit, up to a global phase, in :data:`STANDARD` gates only."""
    gates = [step for gate in circuit.gates for step in _standard(gate)]
    return replace(circuit, gates=tuple(gates))


def _standard(gate: Gate) -> list[Gate]:
    if gate.name in STANDARD:
        return [gate]
    q = gate.qubits
    if gate.name in ("rot", "u3"):
        rotations = [step for step in gate.primitives() if isinstance(step, Rotation)]
        return [Gate(f"r{step.letters.lower()}", q, (step.angle,)) for step in rotations]
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

"""Controls measured mid-way, with every parameter a number: what a device with feed-forward runs.

A qubit that is only a control (or turned about Z) from some point on, and is not measured at the end, can be
measured at that point instead, and what it controls done if the result was 1. This undoes the principle of
deferred measurement (Nielsen, Chuang, 2010, section 4.4); expectation values stay the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from qfedfm.circuits.angle import constant
from qfedfm.circuits.circuit import Circuit, Gate
from qfedfm.circuits.openqasm.standard import standard_gates
from qfedfm.circuits.openqasm.writer import gate_text, observable_text
from qfedfm.core.errors import RequestError

_UNCONTROLLED = {
    "cx": "x", "cy": "y", "cz": "z", "ch": "h", "crx": "rx", "cry": "ry", "crz": "rz", "cp": "p",
}  # fmt: skip


def measured_qasm(
    circuit: Circuit, inputs: Sequence[float], weights: Sequence[float], *, comment: str = ""
) -> str:
    """Returns the program at one point, with every control that can be measured mid-way measured.

    Args:
        circuit: What to write; its inputs are angles.
        inputs: One value for each input, radians.
        weights: One value for each weight, radians.
        comment: Written into the second line, for people.

    Raises:
        RequestError: If no qubit of the circuit can be measured mid-way.
    """
    gates = [
        Gate(gate.name, gate.qubits, tuple(constant(a.value(inputs, weights)) for a in gate.angles))
        for gate in standard_gates(circuit).gates
    ]
    last = _last_use(circuit, gates)
    if not last:
        raise RequestError(f"circuit {circuit.name} has no qubit that can be measured mid-way")
    lines = ["OPENQASM 3.0;", 'include "stdgates.inc";']
    if comment:
        lines.insert(1, f"// {comment}")
    # One scalar bit and qubit each: PennyLane does not measure indexed ones.
    lines += [f"bit m_{qubit};" for qubit in sorted(last)]
    lines.append("@qfedfm.fixed parameters")
    lines += [f"@qfedfm.observable {observable_text(observable)}" for observable in circuit.observables]
    lines += [f"qubit q_{qubit};" for qubit in range(circuit.qubits)]
    lines += [f"m_{qubit} = measure q_{qubit};" for qubit in sorted(last) if last[qubit] < 0]
    for place, gate in enumerate(gates):
        control = gate.qubits[0]
        if control in last and last[control] < place and gate.name in _UNCONTROLLED:
            alone = Gate(_UNCONTROLLED[gate.name], gate.qubits[1:], gate.angles)
            lines.append(f"if (m_{control}) {{ {gate_text(alone, 'q_{}')} }}")
        else:
            lines.append(gate_text(gate, "q_{}"))
        lines += [f"m_{qubit} = measure q_{qubit};" for qubit in sorted(last) if last[qubit] == place]
    return "\n".join(lines) + "\n"


def _last_use(circuit: Circuit, gates: list[Gate]) -> dict[int, int]:
    """For each qubit that can be measured mid-way: the last gate that acts on it other than as a control."""
    observed = frozenset(qubit for observable in circuit.observables for qubit in observable.qubits)
    last: dict[int, int] = {}
    for qubit in range(circuit.qubits):
        if qubit in observed:
            continue
        acted = [p for p, g in enumerate(gates) if qubit in g.qubits and not _controls(g, qubit)]
        place = acted[-1] if acted else -1
        if any(qubit in gate.qubits for gate in gates[place + 1 :]):
            last[qubit] = place
    return last


def _controls(gate: Gate, qubit: int) -> bool:
    return gate.name in _UNCONTROLLED and gate.qubits[0] == qubit

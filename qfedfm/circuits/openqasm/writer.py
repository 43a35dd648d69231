"""Circuits as OpenQASM 3 programs that Qiskit and PennyLane both read."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction

from qfedfm.circuits.angle import Angle
from qfedfm.circuits.circuit import Circuit, Gate, Observable
from qfedfm.circuits.openqasm.standard import standard_gates
from qfedfm.core.errors import RequestError


def to_qasm(circuit: Circuit, *, comment: str = "", fixed: Iterable[str] = ()) -> str:
    """Returns the program; reading it back gives ``standard_gates(circuit)``.

    Args:
        circuit: What to write. Its inputs and weights become ``x_0``, ``x_1``, ... and ``w_0``, ``w_1``, ...
        comment: Written into the second line, for people.
        fixed: Names of the parameters that were written into the circuit as numbers; marked in the file.

    Raises:
        RequestError: If the inputs are amplitudes, which OpenQASM cannot take as parameters.
    """
    if circuit.amplitudes:
        raise RequestError(
            f"circuit {circuit.name} takes amplitudes as inputs, which OpenQASM has no parameters for: "
            "write it with fixed amplitudes (with_fixed_amplitudes)"
        )
    lines = ["OPENQASM 3.0;", 'include "stdgates.inc";']
    if comment:
        lines.insert(1, f"// {comment}")
    for letter, role, registers in (("x", "input", circuit.inputs), ("w", "weight", circuit.weights)):
        for register in registers:
            shape = " ".join(str(size) for size in register.shape)
            lines.append(f"@qfedfm.{role} {register.name} {shape}")
            lines += [f"input float[64] {letter}_{register.start + place};" for place in range(register.size)]
            if not register.size:
                lines.pop()  # an annotation needs a declaration to stand before
    lines += [f"@qfedfm.fixed {what}" for what in fixed]
    lines += [f"@qfedfm.observable {observable_text(observable)}" for observable in circuit.observables]
    lines.append(f"qubit[{circuit.qubits}] q;")
    lines += [gate_text(gate) for gate in standard_gates(circuit).gates]
    return "\n".join(lines) + "\n"


def gate_text(gate: Gate, qubit_text: str = "q[{}]") -> str:
    """Returns the statement that applies a gate; ``qubit_text`` is how a qubit is written."""
    angles = ", ".join(angle_text(angle) for angle in gate.angles)
    qubits = ", ".join(qubit_text.format(qubit) for qubit in gate.qubits)
    return f"{gate.name}({angles}) {qubits};" if angles else f"{gate.name} {qubits};"


def observable_text(observable: Observable) -> str:
    """Returns for example ``0.5*X[0]*Y[1] - 1.0*Z[2] + 3.0``; the empty sum is ``0.0``."""
    text = ""
    for coefficient, string in observable.terms:
        factors = [f"{letter}[{qubit}]" for qubit, letter in string]
        if abs(coefficient) != 1.0 or not factors:
            factors.insert(0, repr(abs(coefficient)))
        sign = "-" if coefficient < 0 or (coefficient == 0 and math.copysign(1, coefficient) < 0) else "+"
        text += f" {sign} " if text else ("-" if sign == "-" else "")
        text += "*".join(factors)
    return text or "0.0"


def angle_text(angle: Angle) -> str:
    """Returns an angle as an expression whose value is the same to the last bit."""
    parts: list[str] = []
    for coefficient, symbols in angle.terms:
        factors = [f"{kind}_{index}" for kind, index in symbols]
        if abs(coefficient) != 1.0:
            factors.insert(0, number_text(abs(coefficient)))
        parts.append(("-" if coefficient < 0 else "+" if parts else "") + "*".join(factors))
    if angle.offset or not parts:
        parts.append(("-" if angle.offset < 0 else "+" if parts else "") + number_text(abs(angle.offset)))
    return "".join(parts)


def number_text(value: float) -> str:
    """Returns a number not below 0, as a multiple of pi where it is exactly one."""
    ratio = Fraction(value / math.pi).limit_denominator(1 << 12)
    top, bottom = ratio.numerator, ratio.denominator
    if top and bottom & (bottom - 1) == 0 and top * math.pi / bottom == value and top <= 64:
        text = "pi" if top == 1 else f"{top}*pi"
        return text if bottom == 1 else f"{text}/{bottom}"
    return repr(value)

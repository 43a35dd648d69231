"""Reading: what users write, and what is said, where, about what cannot be read."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qfedfm.circuits import Gate, Register, constant, family, input_angle, pauli, weight_angle
from qfedfm.circuits.openqasm import QasmError, read_qasm, read_qasm_file, to_qasm
from qfedfm.core.errors import RequestError

HEAD = 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'


def test_a_program_as_people_write_them() -> None:
    program = """
    // a comment, /* and */ inside
    OPENQASM 3;
    include "stdgates.inc"; /* over
    two lines */
    input float[64] x_0; input float x_1;
    input angle[32] w_0;
    qubit anc;
    qubit[2] data;
    h data;                      // to every qubit of a register
    cx anc, data;
    U(pi/2, -π, tau/4) data[1];
    u2(0, 1e-1) anc;
    phase(2 * (x_0 - 1.5) ** 2) anc;
    barrier anc, data;
    gphase(pi);
    rz(w_0 * x_1 / 2 + -.5) data[0];
    CX data[0], data[1];
    """
    found = read_qasm(program, source="mine.qasm", name="mine")
    circuit = found.circuit
    assert (circuit.name, circuit.qubits, found.qubits) == ("mine", 3, ("anc", "data[0]", "data[1]"))
    assert circuit.inputs == (Register("x", 0, (2,)),)
    assert circuit.weights == (Register("w", 0, (1,)),)
    assert circuit.gates == (
        Gate("h", (1,)),
        Gate("h", (2,)),
        Gate("cx", (0, 1)),
        Gate("cx", (0, 2)),
        Gate("u3", (2,), (constant(math.pi / 2), constant(-math.pi), constant(math.tau / 4))),
        Gate("u3", (0,), (constant(math.pi / 2), constant(0.0), constant(0.1))),
        Gate("p", (0,), (2 * ((input_angle(0) - 1.5) * (input_angle(0) - 1.5)),)),
        Gate("rz", (1,), (input_angle(1) * weight_angle(0) * 0.5 - 0.5,)),
        Gate("cx", (1, 2)),
    )
    assert circuit.observables == tuple(pauli("Z", qubit) for qubit in range(3))
    assert found.notes == (
        "mine.qasm names no observables (@qfedfm.observable): Z of every qubit is measured",
    )


def test_annotations_name_roles_and_observables() -> None:
    program = (
        HEAD
        + """@qfedfm.weight depth 2 1
input float[64] theta;
input float[64] phi;
@qfedfm.input
input float[64] feature;
input float[64] w_0;
@other.tool anything at all
@qfedfm.observable -0.5*Z[0]*X[1] + 2 * Y[1]
@qfedfm.observable 1.5
qubit[2] q;
rx(theta + phi*feature + w_0) q[0];
"""
    )
    found = read_qasm(program)
    assert found.circuit.weights == (Register("depth", 0, (2, 1)), Register("w", 2, (1,)))
    assert found.circuit.inputs == (Register("feature", 0, (1,)),)
    assert found.weights == ("theta", "phi", "w_0")
    first, second = found.circuit.observables
    assert first.terms == ((-0.5, ((0, "Z"), (1, "X"))), (2.0, ((1, "Y"),)))
    assert second.terms == ((1.5, ()),)
    assert found.notes == ()


@pytest.mark.parametrize(
    ("body", "line", "column", "words"),
    [
        ("qubit[2] q;\ncx q[0], q[1]", 4, 14, "expected ';' after gate cx, found the end of the file"),
        ("qubit[2] q;\nh q[2];", 4, 5, r"no qubit q\[2\]: q has 2"),
        ("qubit[2] q;\nhh q[0];", 4, 1, "gate 'hh' is unknown or not supported"),
        ("qubit[2] q;\nrzz(0.1) q[0], q[1];", 4, 1, "gate 'rzz' is not in stdgates.inc"),
        ("qubit[2] q;\nrx() q[0];", 4, 1, "gate rx takes 1 angles, got 0"),
        ("qubit[2] q;\nrx(0.1, 0.2) q[0];", 4, 1, "gate rx takes 1 angles, got 2"),
        ("qubit[2] q;\ncx q[0];", 4, 1, "gate cx takes 2 qubits, got 1"),
        ("qubit[2] q;\ncx q[0], q[0];", 4, 1, "needs 2 different qubits"),
        ("qubit[2] q;\nqubit[3] r;\ncx q, r;", 5, 1, "registers of different sizes"),
        ("qubit[2] q;\nh p[0];", 4, 3, "there are no qubits 'p'"),
        ("qubit[2] q;\nrx(theta) q[0];", 4, 4, "'theta' is not declared"),
        ("qubit[2] q;\nrx(sin(0.1)) q[0];", 4, 4, "the function sin is not supported in angles"),
        ("qubit[2] q;\nrx(1e999) q[0];", 4, 4, "the number 1e999 is too large"),
        ("qubit[2] q;\nrx(1e300*1e300) q[0];", 4, 4, "not finite"),
        ("qubit[2] q;\nrx(1/0) q[0];", 4, 6, "divides by zero"),
        ("input float[64] x_0;\nqubit[2] q;\nrx(1/x_0) q[0];", 5, 6, "division by a parameter"),
        ("input float[64] x_0;\nqubit[2] q;\nrx(2**x_0) q[0];", 5, 7, "only whole powers"),
        ("qubit[2] q;\nrx(0.1 +) q[0];", 4, 9, r"expected an angle, found '\)'"),
        ("qubit[2] q;\nrx(0x1F) q[0];", 4, 4, "other bases"),
        ("qubit[2] q;\n$ q;", 4, 1, r"the character '\$' has no meaning here"),
        ("qubit[2] q;\n/* h q;", 4, 1, "this comment does not end"),
        ("qubit[2] q;\n42;", 4, 1, "expected a statement, found '42'"),
        ("qubit[2] q;\nbit[2] c;", 4, 1, "classical bits: not supported"),
        ("qubit[2] q;\nmeasure q;", 4, 1, "measurements .*: not supported"),
        ("qubit[2] q;\nreset q;", 4, 1, "reset: not supported"),
        ("gate g a { h a; }", 3, 1, "gate definitions .*: not supported"),
        ("qubit[2] q;\nctrl @ x q[0], q[1];", 4, 1, r"gate modifiers \(ctrl @\): not supported"),
        ("qubit[2] q;\nfor int i in [0:1] { h q[i]; }", 4, 1, "loops: not supported"),
        ("def f(qubit a) { h a; }", 3, 1, "subroutines: not supported"),
        ("#pragma qfedfm x", 3, 1, "pragmas: not supported"),
        ("const float a = 0.5;", 3, 1, "constants: not supported"),
        ("qreg q[2];", 3, 1, "qreg .*: not supported"),
        ("input array[float[64], 3] x;", 3, 7, "only scalar inputs are supported"),
        ("input float[64] theta;", 3, 17, "'theta' is neither an input nor a weight"),
        ("input float[64] x_0;\ninput float[64] x_0;", 4, 17, "declared twice"),
        ("qubit[2] x_0;\ninput float[64] x_0;", 4, 17, "declared twice"),
        ("input float[64] x;", 3, 17, "'x' has a meaning already"),
        ("qubit pi;", 3, 7, "'pi' has a meaning already"),
        ("qubit[0] q;", 3, 10, "at least one qubit"),
        ("qubit[99999999999] q;", 3, 20, "99999999999 qubits are more than the 10000"),
        ("qubit q;\nrx(" + "(" * 5000 + "1", 4, 64, "more than 60 parentheses, signs"),
        ("qubit q;\nrx(" + "-" * 5000 + "1", 4, 64, "more than 60 parentheses, signs"),
        ("qubit q;\nrx(" + "2**" * 500 + "1", 4, 184, "or powers are open"),
        (
            "input float[64] x_0;\ninput float[64] x_1;\ninput float[64] x_2;\nqubit q;\n"
            "rx(((x_0 + x_1 + x_2 + 1)**8)**8) q;",
            7,
            32,
            "has more than 20000 terms",
        ),
        ("qubit[n] q;", 3, 7, "expected the number of qubits"),
        ('include "mine.inc";', 3, 9, 'only "stdgates.inc"'),
        ("input float[64] x_0;\n", 4, 1, "declares no qubits"),
        ("@qfedfm.observable Z[2]\nqubit[2] q;", 3, 1, "on qubit 2, but the circuit has qubits 0 to 1"),
        ("@qfedfm.observable Z[0]*X[0]\nqubit[2] q;", 3, 27, "stands twice"),
        ("@qfedfm.observable Q[0]\nqubit[2] q;", 3, 20, "expected a number or X, Y, Z"),
        ("@qfedfm.observable Z[0] Z[1]\nqubit[2] q;", 3, 25, r"expected \+ or -"),
        ("@qfedfm.observable\nqubit[2] q;", 3, 1, "the observable is missing"),
        ("@qfedfm.observables Z[0]\nqubit[2] q;", 3, 1, "did you mean 'qfedfm.observable'"),
        ("@qfedfm.input x 3\ninput float[64] a;\nqubit[2] q;", 5, 12, "needs 2 more inputs"),
        ("input float[64] x_1;\ninput float[64] x_0;", 4, 17, "after x_1: declare them in the order"),
        ("@qfedfm.input x 0\ninput float[64] a;\nqubit[2] q;", 3, 1, "expected a name and a shape"),
        ("@qfedfm.input x 1\nqubit[2] q;", 3, 1, "no input declaration follows"),
        ("@qfedfm.input x 1\n@qfedfm.weight w 1\ninput float[64] a;", 3, 1, "no input declaration follows"),
    ],
)
def test_what_cannot_be_read_is_named_with_line_and_column(
    body: str, line: int, column: int, words: str
) -> None:
    with pytest.raises(QasmError, match=words) as caught:
        read_qasm(HEAD + body, source="mine.qasm")
    assert (caught.value.line, caught.value.column) == (line, column), str(caught.value)
    assert str(caught.value).startswith(f"mine.qasm, line {line}, column {column}: ")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("", "expected OPENQASM 3.0; in the first line, found the end of the file"),
        ("qubit q;", "expected OPENQASM 3.0"),
        ('OPENQASM 2.0;\ninclude "qelib1.inc";', "expected version 3.0 of OpenQASM, found '2.0'"),
    ],
)
def test_the_version_comes_first(program: str, words: str) -> None:
    with pytest.raises(QasmError, match=words):
        read_qasm(program)


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "ansatz.qasm"
    path.write_text(HEAD + "qubit q;\nh q;\n")
    found = read_qasm_file(path)
    assert found.circuit.name == "ansatz"
    assert str(path) in found.notes[0]
    with pytest.raises(RequestError, match=r"nothing.qasm: cannot be read .*; give the path of an OpenQASM"):
        read_qasm_file(tmp_path / "nothing.qasm")
    path.write_bytes(b"OPENQASM 3.0;\n\xff")
    with pytest.raises(RequestError, match=r"not UTF-8 text \(byte 14\)"):
        read_qasm_file(path)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    place=st.integers(0, 10_000),
    length=st.integers(0, 8),
    instead=st.text(alphabet="xw_0123456789.;,()[]{}@*/+-\"' \n\tq√π#$eEif", max_size=6),
)
def test_damaged_programs_are_read_or_refused_but_never_crash(place: int, length: int, instead: str) -> None:
    program = to_qasm(family("iqp", qubits=2, layers=1)) + "u3(pi/2, x_0, 2**3) q[0];\n/* end */\n"
    start = place % len(program)
    damaged = program[:start] + instead + program[start + length :]
    try:
        read_qasm(damaged)
    except QasmError as error:
        lines = damaged.split("\n")
        assert 1 <= error.line <= len(lines) and 1 <= error.column <= len(lines[error.line - 1]) + 1

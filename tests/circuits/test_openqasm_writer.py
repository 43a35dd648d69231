"""What is written is read back as the same circuit, to the bit, and means the same to other readers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qfedfm.circuits import (
    Angle,
    Circuit,
    Gate,
    Observable,
    Register,
    constant,
    families,
    family,
    input_angle,
    pauli,
    weight_angle,
)
from qfedfm.circuits.families.blocks import measure_all
from qfedfm.circuits.gates import GATES
from qfedfm.circuits.openqasm import (
    measured_qasm,
    prepare_amplitudes,
    read_qasm,
    standard_gates,
    to_qasm,
    with_fixed_amplitudes,
)
from qfedfm.circuits.openqasm.standard import STANDARD
from qfedfm.circuits.openqasm.writer import angle_text, number_text
from qfedfm.core.errors import RequestError
from qfedfm.quantum import states


def of_size(name: str, qubits: int, layers: int) -> Circuit:
    if name == "swap_test":
        qubits = max(3, qubits - 1 + qubits % 2)
    qubits = max(2, qubits) if name == "hadamard_test" else qubits
    circuit = family(name, qubits=qubits, layers=1 if name == "bb84_prepare_measure" else layers)
    if circuit.amplitudes:
        circuit = with_fixed_amplitudes(circuit, [math.sin(1.0 + k) for k in range(circuit.n_inputs)])
    return circuit


@settings(max_examples=40, deadline=None, derandomize=True)
@given(name=st.sampled_from(families()), qubits=st.integers(1, 8), layers=st.integers(1, 3))
def test_every_family_comes_back_to_the_bit(name: str, qubits: int, layers: int) -> None:
    circuit = of_size(name, qubits, layers)
    program = to_qasm(circuit)
    found = read_qasm(program)
    assert found.circuit.hash == standard_gates(circuit).hash
    assert (found.circuit.inputs, found.circuit.weights) == (circuit.inputs, circuit.weights)
    assert found.notes == ()
    assert found.inputs == tuple(f"x_{k}" for k in range(circuit.n_inputs))
    assert to_qasm(found.circuit) == program


def test_a_small_program_as_it_stands() -> None:
    circuit = Circuit(
        2,
        (
            Gate("ry", (0,), (input_angle(0, math.pi / 2),)),
            Gate("rot", (1,), (weight_angle(0), constant(-math.pi), 0.25 - weight_angle(1, 2.0))),
            Gate("cx", (1, 0)),
        ),
        (pauli("Z", 1), Observable(((0.5, ((0, "X"), (1, "Y"))), (-1.0, ((1, "Z"),)), (3.0, ())))),
        (Register("x", 0, (1,)),),
        (Register("w", 0, (1, 2)),),
    )
    assert to_qasm(circuit, comment="for people") == (
        "OPENQASM 3.0;\n"
        "// for people\n"
        'include "stdgates.inc";\n'
        "@qfedfm.input x 1\n"
        "input float[64] x_0;\n"
        "@qfedfm.weight w 1 2\n"
        "input float[64] w_0;\n"
        "input float[64] w_1;\n"
        "@qfedfm.observable Z[1]\n"
        "@qfedfm.observable 0.5*X[0]*Y[1] - Z[1] + 3.0\n"
        "qubit[2] q;\n"
        "ry(pi/2*x_0) q[0];\n"
        "rz(w_0) q[1];\n"
        "ry(-pi) q[1];\n"
        "rz(-2.0*w_1+0.25) q[1];\n"
        "cx q[1], q[0];\n"
    )


numbers = st.floats(-1e6, 1e6, allow_nan=False).filter(lambda value: value != 0.0)
terms = st.lists(
    st.tuples(numbers, st.lists(st.tuples(st.sampled_from("xw"), st.integers(0, 2)), min_size=1, max_size=3)),
    max_size=3,
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(offset=st.floats(-1e9, 1e9), parts=terms)
def test_angles_come_back_to_the_bit(offset: float, parts: list[tuple[float, list[tuple[str, int]]]]) -> None:
    angle = constant(offset)
    for coefficient, symbols in parts:
        product = constant(coefficient)
        for kind, index in symbols:
            product = product * (input_angle(index) if kind == "x" else weight_angle(index))
        angle = angle + product
    circuit = Circuit(
        1,
        (Gate("rx", (0,), (angle,)),),
        (pauli("Z", 0),),
        (Register("x", 0, (3,)),),
        (Register("w", 0, (3,)),),
    )
    (gate,) = read_qasm(to_qasm(circuit)).circuit.gates
    assert gate.angles == (angle,)


@pytest.mark.parametrize("top", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("bottom", [1, 2, 3, 4, 8, 1024])
def test_multiples_of_pi_are_exact(top: int, bottom: int) -> None:
    value = top * math.pi / bottom
    text = number_text(value)
    program = f"OPENQASM 3.0;\nqubit q;\nrx({text}) q;"
    assert read_qasm(program).circuit.gates[0].angles[0] == constant(value)
    assert "pi" in text or bottom == 3
    assert angle_text(Angle(-value)) == "-" + text


@pytest.mark.parametrize("name", [name for name in GATES if name not in STANDARD])
def test_gates_that_other_readers_lack_are_made_of_standard_ones(name: str) -> None:
    rng = np.random.default_rng(3)
    before = tuple(Gate("rot", (q,), tuple(constant(float(a)) for a in rng.normal(size=3))) for q in range(2))
    angles = tuple(constant(float(a)) for a in rng.normal(size=GATES[name].angles))
    gates = (*before, Gate("cx", (0, 1)), Gate(name, (1, 0)[: GATES[name].qubits], angles))
    whole = Circuit(2, gates, measure_all(2))
    lowered = standard_gates(whole)
    assert {gate.name for gate in lowered.gates} <= STANDARD
    nothing = torch.zeros(1, 0, dtype=torch.float64), torch.zeros(0, dtype=torch.float64)
    overlap = torch.vdot(states(whole, *nothing)[0], states(lowered, *nothing)[0])
    assert abs(complex(overlap)) == pytest.approx(1.0, abs=1e-14)


@pytest.mark.parametrize("qubits", [1, 2, 3, 5])
def test_amplitudes_are_prepared(qubits: int) -> None:
    wanted = torch.from_numpy(np.random.default_rng(qubits).normal(size=2**qubits))
    wanted[0] = 0.0
    circuit = Circuit(qubits, tuple(prepare_amplitudes(wanted.tolist())), measure_all(qubits))
    nothing = torch.zeros(1, 0, dtype=torch.float64), torch.zeros(0, dtype=torch.float64)
    state = states(circuit, *nothing)[0]
    torch.testing.assert_close(state.real, wanted / wanted.norm(), rtol=0, atol=1e-14)
    assert float(state.imag.abs().max()) < 1e-14
    assert sum(gate.name == "cx" for gate in circuit.gates) == 2**qubits - 2


def test_fixed_amplitudes_are_marked() -> None:
    circuit = family("amplitude", qubits=2, layers=1)
    with pytest.raises(RequestError, match="takes amplitudes as inputs"):
        to_qasm(circuit)
    fixed = with_fixed_amplitudes(circuit, [1.0, -2.0, 3.0, 0.5])
    found = read_qasm(to_qasm(fixed, fixed=["amplitudes"]))
    assert found.fixed == ("amplitudes",)
    assert (found.circuit.n_inputs, found.circuit.n_weights) == (0, 6)
    for amplitudes, words in (([1.0, 2.0], "takes 4 amplitudes, got 2"), ([0.0] * 4, "not all zero")):
        with pytest.raises(RequestError, match=words):
            with_fixed_amplitudes(circuit, amplitudes)
    with pytest.raises(RequestError, match="takes angles as inputs"):
        with_fixed_amplitudes(family("reuploading", qubits=2, layers=1), [1.0, 0.0])


def test_controls_are_measured_where_nothing_else_acts_on_them_later() -> None:
    circuit = family("convolution", qubits=4, layers=1)
    program = measured_qasm(circuit, [0.1, 0.2, 0.3, 0.4], [0.5] * 6)
    assert "@qfedfm.fixed parameters" in program
    assert program.count("= measure q_") == 2  # the two qubits that are pooled away
    assert program.count("if (m_1) {") == program.count("if (m_3) {") == 2
    assert "crz" not in program and "crx" not in program
    with pytest.raises(RequestError, match="no qubit that can be measured mid-way"):
        measured_qasm(family("reuploading", qubits=2, layers=1), [0.0] * 2, [0.0] * 6)

"""What a job will cost, on fake backends: counts of the transpiled circuit, formulas, what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from qfedfm.circuits import family
from qfedfm.circuits.openqasm import read_qasm_file
from qfedfm.cli.main import invoke
from qfedfm.core.errors import RequestError
from qfedfm.quantum.gallery import gallery_folder
from qfedfm.quantum.ibm import JobOptions, Zne, compile_program, describe_backend, estimate, find_backend
from qfedfm.quantum.ibm.calibration import take_calibration
from qfedfm.quantum.ibm.folding import extrapolation_weights
from qfedfm.quantum.ibm.points import read_subject

GHZ = gallery_folder() / "ghz_phase_sum" / "n04_l2.qasm"


def call(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, object]:
    assert invoke(["ibm", *arguments, "--json"]) == code
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


def test_an_estimate_agrees_with_the_transpiled_circuit(capsys: pytest.CaptureFixture[str]) -> None:
    found = call(capsys, "estimate", str(GHZ), "--backend", "fake_sherbrooke", "--shots", "1000")
    options = JobOptions(shots=1000)
    backend = find_backend("fake_sherbrooke")
    program = compile_program(read_qasm_file(GHZ).circuit, backend, options)
    circuits = [part.circuit for part in program.parts]
    operations = circuits[0].count_ops()
    assert len(circuits) == 2  # XXXX and YXXX need two measurements
    assert found["two_qubit_gates"] == operations["ecr"] == 3
    assert found["depth"] == max(circuit.depth() for circuit in circuits)
    assert found["layout"] == list(program.layout)
    assert found["physical_qubits"] == sorted(program.layout)
    assert found["circuits"] == 4 and found["executions"] == 4000  # two points, two measurements
    # Both formulas again, from the backend itself.
    target, fidelities, times = backend.target, [], []
    for circuit in circuits:
        left = 1.0
        for one in circuit.data:
            where = tuple(circuit.find_bit(qubit).index for qubit in one.qubits)
            left *= 1 - (target[one.operation.name][where].error or 0.0)
        fidelities.append(left)
        times.append(circuit.estimate_duration(target, unit="s"))
    assert found["fidelity"] == pytest.approx(min(fidelities), rel=1e-12)
    assert found["circuit_seconds"] == pytest.approx(max(times), rel=1e-9)
    delay = backend.configuration().default_rep_delay
    assert found["qpu_seconds"] == pytest.approx(2 + 4000 * (delay + max(times)), rel=1e-9)
    assert "executions" in str(found["seconds_formula"])


def test_mitigation_and_folding_are_in_the_estimate() -> None:
    backend = find_backend("fake_manila")
    circuit = family("strongly_entangling", qubits=3, layers=1)
    options = JobOptions(readout_mitigation=True, zne=Zne(scales=(1, 3)))
    program = compile_program(circuit, backend, options)
    calibration = take_calibration(backend, [part.circuit for part in program.parts])
    found = estimate(program, calibration, options, 5)
    assert found.circuits == 2 * 5 + 2 and found.pubs == 4
    twos = [
        sum(one.operation.num_qubits == 2 and one.operation.name != "barrier" for one in part.circuit.data)
        for part in program.parts
    ]
    assert twos == [found.two_qubit_gates, 3 * found.two_qubit_gates, 0, 0]


def test_extrapolation_is_exact_for_what_it_assumes() -> None:
    scales = (1, 3, 5)
    line = np.array([0.9 - 0.1 * scale for scale in scales])
    parabola = np.array([0.9 - 0.1 * scale + 0.01 * scale**2 for scale in scales])
    assert extrapolation_weights(scales, "linear") @ line == pytest.approx(0.9)
    assert extrapolation_weights(scales, "richardson") @ parabola == pytest.approx(0.9)
    assert extrapolation_weights(scales, "richardson") == pytest.approx([15 / 8, -10 / 8, 3 / 8])


def test_backends_without_an_account(capsys: pytest.CaptureFixture[str]) -> None:
    found = call(capsys, "backends", "fake_manila", "fake_torino")
    manila, torino = found["backends"]  # type: ignore[misc]
    assert (manila["qubits"], manila["two_qubit_gate"], torino["two_qubit_gate"]) == (5, "cx", "cz")
    assert manila["basis_gates"] == ["cx", "rz", "sx", "x"]
    assert manila["two_qubit_error"] == pytest.approx((0.0088277121 + 0.0113541228) / 2, abs=1e-9)
    assert "save_account" in str(found["advice"]) and found["channel"] == "local"
    assert math.isclose(
        describe_backend(find_backend("fake_manila"))["readout_error"], manila["readout_error"]
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--backend", "fake_sherbroke"], "did you mean 'fake_sherbrooke'"),
        (["--backend", "ibm_torino"], "needs an IBM Quantum account"),
        (["--backend", "fake_armonk"], "has 1 qubits"),
        (["--backend", "fake_manila", "--dynamical-decoupling", "XX"], "no effect on a fake backend"),
        (["--backend", "fake_manila", "--mode", "session"], "no effect on a fake backend"),
        (["--backend", "fake_manila", "--zne", "1,2"], "folded to 1, 3, 5"),
        (["--backend", "fake_manila", "--zne", "3,5"], "1 among them"),
        (["--backend", "fake_manila", "--zne", "1;3"], "expected odd numbers"),
        (["--backend", "fake_manila", "--zne-fit", "richardson"], "no effect without --zne"),
    ],
)
def test_what_has_no_effect_or_no_place_is_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    found = call(capsys, "estimate", str(GHZ), *arguments, code=2)
    assert words in str(found["error"])


def test_zne_without_two_qubit_gates_is_refused() -> None:
    circuit = family("strongly_entangling", qubits=2, layers=1).without_entanglers()
    with pytest.raises(RequestError, match="has none"):
        compile_program(circuit, find_backend("fake_manila"), JobOptions(zne=Zne()))


def test_parameters_of_a_file(tmp_path: Path) -> None:
    given = tmp_path / "p.json"
    assert read_subject(GHZ).samples == 2  # the points of the JSON beside it
    given.write_text(json.dumps({"x_0": [0.1, 0.2, 0.3], "x_1": 1, "x_2": 2, "x_3": 3}))
    found = read_subject(GHZ, given)
    assert found.inputs.tolist() == [[0.1, 1, 2, 3], [0.2, 1, 2, 3], [0.3, 1, 2, 3]]
    given.write_text(json.dumps({"inputs": [0.1, 0.2, 0.3, 0.4]}))
    assert read_subject(GHZ, given).weights.shape == (1, 0)
    for content, words in (
        ({"x_0": 1}, "no value for x_1, x_2, x_3"),
        ({"y": 1}, "no parameter 'y'"),
        ({"x_0": [1, 2], "x_1": [1, 2, 3], "x_2": 0, "x_3": 0}, "2 values, others have 3"),
        ({"x_0": "one", "x_1": 1, "x_2": 2, "x_3": 3}, "finite number"),
        ({"inputs": [[1, 2]]}, "shape"),
        ([1], "expected an object"),
    ):
        given.write_text(json.dumps(content))
        with pytest.raises(RequestError, match=words):
            read_subject(GHZ, given)
    lonely = tmp_path / "mine.qasm"
    lonely.write_text(GHZ.read_text())
    with pytest.raises(RequestError, match="give their values with --parameters"):
        read_subject(lonely)

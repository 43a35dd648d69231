"""``qfedfm circuits``: what it prints, what it writes, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qfedfm.circuits import families
from qfedfm.cli.main import invoke

PROGRAM = """OPENQASM 3.0;
include "stdgates.inc";
input float[64] x_0;
input float[64] w_0;
qubit[2] q;
ry(x_0) q[0];
cx q[0], q[1];
rx(w_0) q[1];
"""


def call(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert invoke(["circuits", *arguments]) == code
    return capsys.readouterr().out


def call_json(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, object]:
    found = json.loads(call(capsys, *arguments, "--json", code=code))
    assert isinstance(found, dict)
    return found


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    found = call_json(capsys, "list")
    assert set(found["families"]) == set(families()) == set(found["descriptions"])  # type: ignore[call-overload]
    text = call(capsys, "list")
    assert "Data re-uploading" in text and "rotations, entangler, topology" in text


def test_show(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    drawing = tmp_path / "drawing.svg"
    options = ("--qubits", "3", "--layers", "1", "-o", "topology=ring", "-o", "rotations=[RX, RZ]")
    found = call_json(capsys, "show", "hardware_efficient", *options, "--svg", str(drawing))
    assert (found["qubits"], found["two_qubit_gates"], found["weights"]) == (3, 3, 12)
    assert "prefers-color-scheme:dark" in drawing.read_text()
    text = call(capsys, "show", "bb84_prepare_measure", "--qubits", "1")
    assert "RY(πx0)" in text and "weights: 0" in text


def test_show_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "mine.qasm"
    path.write_text(PROGRAM)
    found = call_json(capsys, "show", str(path))
    assert found["qubits"] == 2
    assert "Z of every qubit is measured" in str(found["notes"])
    assert invoke(["circuits", "show", str(path), "--qubits", "3"]) == 2
    assert "a file has its own size" in capsys.readouterr().err
    path.write_text(PROGRAM.replace("cx", "cxx"))
    assert invoke(["circuits", "show", str(path)]) == 2
    assert "mine.qasm, line 7, column 1: gate 'cxx'" in capsys.readouterr().err


def test_export_and_check(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    options = ("--qubits", "2", "--layers", "1", "--out", str(tmp_path))
    found = call_json(capsys, "export", "amplitude", *options)
    stem = "amplitude/n02_l1"
    assert found["written"] == [f"{stem}.qasm", f"{stem}.json", f"{stem}.svg"]
    assert call_json(capsys, "export", "amplitude", *options)["written"] == []
    program = (tmp_path / f"{stem}.qasm").read_text()
    assert "@qfedfm.fixed amplitudes" in program and "input float[64] x_0" not in program
    checked = call_json(capsys, "check", str(tmp_path))
    assert checked["ok"] is True and checked["differences"] == []
    record = json.loads((tmp_path / f"{stem}.json").read_text())
    record["points"][0]["expectations"][1] += 0.25
    (tmp_path / f"{stem}.json").write_text(json.dumps(record))
    wrong = call_json(capsys, "check", str(tmp_path / f"{stem}.qasm"), code=1)
    assert wrong["ok"] is False
    assert "off by 2.5e-01" in str(wrong["files"])
    assert "WRONG" in call(capsys, "check", str(tmp_path), code=1)


def test_analyse(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ("analyse", "basic_entangler", "--qubits", "2-3", "--layers", "1,2", "--samples", "10")
    arguments += ("--pairs", "50", "--seed", "3", "--out", str(tmp_path), "--format", "svg")
    found = call_json(capsys, *arguments)
    assert [(row["qubits"], row["layers"]) for row in found["gradients"]] == [  # type: ignore[attr-defined]
        (2, 1), (3, 1), (2, 2), (3, 2),
    ]  # fmt: skip
    assert found["skipped"] == {}
    assert len(found["plots"]) == 4 and all(Path(path).is_file() for path in found["plots"])  # type: ignore[arg-type, attr-defined]
    assert json.loads((tmp_path / "analysis.json").read_text())["metric"]["qubits"] == 3
    again = call_json(capsys, *arguments)
    assert again == found
    alone = call_json(capsys, *arguments, "--part", "gradients")
    assert alone["gradients"] == found["gradients"] and "metric" not in alone


def test_analyse_a_file_and_what_has_no_weights(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "mine.qasm"
    path.write_text(PROGRAM)
    found = call_json(capsys, "analyse", str(path), "--samples", "5", "--pairs", "20", "--cost", "global")
    assert found["gradients"][0]["weights"] == 1  # type: ignore[index]
    protocol = call(capsys, "analyse", "ghz_phase_sum", "--qubits", "2", "--layers", "1", "--pairs", "20")
    assert "gradients       left out: circuit ghz_phase_sum has no weights" in protocol


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("show", "strongly"), "unknown circuit family 'strongly'"),
        (("show", "iqp", "-o", "trainedd=no"), "did you mean 'trained'"),
        (("show", "iqp", "-o", "trained"), "expected key.path=value"),
        (("show", "nothing.qasm"), "nothing.qasm: cannot be read"),
        (("export", "--qubits", "3"), "are of one family: name it"),
        (("export", "swap_test", "--qubits", "4"), "must be 3, 5, 7"),
        (("check", "nowhere"), "nowhere: there is no such file or folder"),
        (("analyse", "iqp", "--qubits", "2-x"), "is not numbers such as 2,4,8"),
        (("analyse", "iqp", "--qubits", "4-2"), "is an empty range"),
        (("analyse", "swap_test", "--qubits", "4"), "must be 3, 5, 7"),
        (("analyse", "qaoa", "-o", "edges=[[0, 9]]"), "is not two different vertices from 0 to 1"),
    ],
)
def test_bad_requests(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str) -> None:
    assert invoke(["circuits", *arguments]) == 2
    assert words in capsys.readouterr().err

"""The committed gallery: it is what is written today, and other tools get the same numbers from it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from qfedfm.circuits import families, family_description
from qfedfm.core.errors import RequestError
from qfedfm.quantum.gallery import (
    ENTRIES,
    Entry,
    check_file,
    check_gallery,
    differences,
    export_gallery,
    gallery_folder,
)
from qfedfm.quantum.gallery.export import export_entry, same

pytest.importorskip("pennylane")
pytest.importorskip("qiskit_qasm3_import")

FOLDER = Path(__file__).parents[2] / "circuits"


def test_the_gallery_is_what_export_writes() -> None:
    assert differences(FOLDER) == []
    assert gallery_folder() == FOLDER


def _entries() -> list[object]:
    slow = pytest.mark.slow
    return [
        pytest.param(entry, id=f"{entry.family}-{entry.stem}", marks=slow if entry.qubits > 5 else ())
        for entry in ENTRIES
    ]


@pytest.mark.parametrize("entry", _entries())
def test_qiskit_and_pennylane_read_the_same_circuit(entry: Entry) -> None:
    finding = check_file(FOLDER / entry.family / f"{entry.stem}.qasm")
    assert finding.problems == ()
    assert set(finding.values) == {"qiskit", "pennylane"}
    assert max(finding.values.values()) <= 1e-10
    if entry.kind == "measured":
        assert finding.gradients == {}
    else:
        assert max(finding.gradients.values()) <= 1e-9


def test_every_family_is_there_with_its_words() -> None:
    assert {entry.family for entry in ENTRIES} == set(families())
    for name in families():
        words = family_description(name)
        assert words.paper and words.use and words.text
        assert list(words.options)[:2] == ["qubits", "layers"]
        page = (FOLDER / name / "README.md").read_text()
        assert words.paper in page and ".svg)" in page


def test_a_changed_gallery_is_noticed(tmp_path: Path) -> None:
    folder = tmp_path / "circuits"
    shutil.copytree(FOLDER, folder)
    record = folder / "swap_test" / "n03_l1.json"
    content = json.loads(record.read_text())
    content["points"][0]["expectations"][0] += 1e-6
    record.write_text(json.dumps(content))
    (folder / "iqp" / "n02_l1.svg").unlink()
    (folder / "iqp" / "mine.txt").write_text("x")
    assert differences(folder) == [
        "iqp/n02_l1.svg is missing",
        "swap_test/n03_l1.json is not what qfedfm circuits export writes",
        "iqp/mine.txt is not a file of the gallery",
    ]
    (problem,) = check_file(record.with_suffix(".qasm")).problems
    assert "expectation values of the JSON are off by 1.0e-06" in problem
    assert sorted(export_gallery(folder)) == ["iqp/n02_l1.svg", "swap_test/n03_l1.json"]


def test_a_program_that_is_not_the_family_is_noticed(tmp_path: Path) -> None:
    export_entry(tmp_path, "basic_entangler", qubits=2, layers=1, options={"rotation": "RZ"})
    path = tmp_path / "basic_entangler" / "n02_l1_RZ.qasm"
    assert check_file(path).problems == ()
    path.write_text(path.read_text().replace("cx q[0], q[1];", "cx q[1], q[0];"))
    problems = check_file(path).problems
    assert "the program is not the circuit of the family" in problems
    assert any(problem.startswith("qiskit: values differ by") for problem in problems)
    assert any("PennyLane puts gate" in problem for problem in problems)
    path.with_suffix(".json").write_text("{}")
    with pytest.raises(RequestError, match="not the JSON of a circuit"):
        check_file(path)
    with pytest.raises(RequestError, match=r"there are no .qasm files"):
        check_gallery(tmp_path / "nowhere")


def test_anybodys_own_file_is_checked_too(tmp_path: Path) -> None:
    path = tmp_path / "mine.qasm"
    path.write_text(
        'OPENQASM 3.0;\ninclude "stdgates.inc";\n@qfedfm.weight theta\ninput float[64] theta;\n'
        "input float[64] x1;\nqubit a;\nqubit[2] b;\nu3(theta, 2*theta, x1) a;\n"
        "crz(theta*x1) a, b[1];\nch b[1], b[0];\ncp(x1/3) b[0], a;\n"
    )
    finding = check_file(path)
    assert finding.problems == ()
    assert max(*finding.values.values(), *finding.gradients.values()) < 1e-12
    assert "names no observables" in finding.notes[0]
    path.write_text(path.read_text() + "h b;\n")  # PennyLane does not spread gates over registers
    assert any("PennyLane" in problem for problem in check_file(path).problems)


def test_same_forgives_rounding_and_nothing_else() -> None:
    old = json.dumps({"a": 1, "points": [{"expectations": [0.5]}]})
    near = json.dumps({"a": 1, "points": [{"expectations": [0.5 + 1e-15]}]})
    assert same("x.json", old, near)
    assert not same("x.qasm", old, near)
    assert not same("x.json", old, near.replace('"a": 1', '"a": 2'))
    assert not same("x.json", old, json.dumps({"a": 1, "points": [{"expectations": [0.5001]}]}))
    assert not same("x.json", "not json", old)

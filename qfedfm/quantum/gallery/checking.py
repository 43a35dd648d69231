"""Reading every file back through Qiskit and PennyLane: the same values, the same gradients."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from qfedfm.circuits import Circuit, Gate, family
from qfedfm.circuits.openqasm import read_qasm_file, standard_gates
from qfedfm.circuits.openqasm.expressions import read_observable
from qfedfm.core.errors import RequestError
from qfedfm.quantum.gallery.entries import Entry, Point, example_point
from qfedfm.quantum.gallery.export import FORMAT, differences, program
from qfedfm.quantum.gallery.values import values_and_jacobian

#: What may differ: values and gradients.
VALUES, GRADIENTS = 1e-10, 1e-9
READERS: tuple[Literal["qiskit", "pennylane"], ...] = ("qiskit", "pennylane")
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Finding:
    """What checking one file found.

    Attributes:
        file: The path.
        values: The largest difference of a value, by reader.
        gradients: The largest difference of a derivative, by reader; absent where all parameters are fixed.
        problems: What is wrong, a sentence each.
        notes: What the user should know.
    """

    file: str
    values: dict[str, float] = field(default_factory=dict)
    gradients: dict[str, float] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def plain(self) -> dict[str, Any]:
        """Returns the finding as JSON-ready builtins."""
        return {
            "file": self.file,
            "ok": not self.problems,
            "values": self.values,
            "gradients": self.gradients,
            "problems": list(self.problems),
            "notes": list(self.notes),
        }


def check_gallery(folder: Path) -> tuple[list[Finding], list[str]]:
    """Checks all programs in a folder.

    Returns:
        One finding a program; and, if the folder is a gallery (has a README.md), a sentence for every file of
        it that is not what ``export`` writes.
    """
    programs = sorted(folder.rglob("*.qasm"))
    if not programs:
        raise RequestError(f"{folder}: there are no .qasm files; write them with qfedfm circuits export")
    stale = differences(folder, strangers=False) if (folder / "README.md").is_file() else []
    return [check_file(path) for path in programs], stale


def check_file(path: Path) -> Finding:
    """Checks one program: of the gallery, with its JSON beside it, or anybody's own.

    Raises:
        RequestError: If the file cannot be read, or the JSON beside it is not of this format.
    """
    beside = path.with_suffix(".json")
    if beside.is_file():
        return _check_entry(path, beside)
    found = read_qasm_file(path)
    circuit = found.circuit
    names = [*found.inputs, *found.weights]
    subject = _Subject(
        path, path.read_text(encoding="utf-8"), circuit, names, list(found.qubits), circuit.gates
    )
    points = [example_point(circuit, 0), example_point(circuit, 1)]
    return _compare(subject, points, [], list(found.notes))


@dataclass(frozen=True)
class _Subject:
    path: Path
    program: str
    written: Circuit  # as it stands in the file, up to the choice of gates
    names: list[str]
    wires: list[str]
    gates: tuple[Gate, ...] | None  # those of the file; None if it measures mid-way


def _check_entry(path: Path, beside: Path) -> Finding:
    try:
        content = json.loads(beside.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise RequestError(
                f"{beside}: format {content['format']!r} is not {FORMAT}; export the gallery again"
            )
        entry = Entry(
            content["family"], content["qubits"], content["layers"], content["options"], kind=content["kind"]
        )
        points = [Point(tuple(p["inputs"]), tuple(p["weights"])) for p in content["points"]]
        expected = [np.array(p["expectations"], dtype=float) for p in content["points"]]
        observables = [read_observable(text, str(beside), 1, 1) for text in content["observables"]]
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, RequestError):
            raise
        raise RequestError(
            f"{beside}: not the JSON of a circuit ({type(error).__name__}: {error}); export the gallery again"
        ) from error
    problems: list[str] = []
    text = path.read_text(encoding="utf-8")
    circuit = family(entry.family, qubits=entry.qubits, layers=entry.layers, **entry.options)
    if tuple(observables) != circuit.observables:
        problems.append("the observables of the JSON are not those of the family")
    if content["weights_without_gradient"] != list(circuit.zero_gradient_weights):
        problems.append("the weights without gradient of the JSON are not those of the family")
    written = circuit
    if entry.kind == "measured":
        if text != program(entry):
            problems.append("the program is not the one that is written")
        names, wires = [], [f"q_{qubit}" for qubit in range(circuit.qubits)]
    else:
        written = entry.written
        read = read_qasm_file(path).circuit
        if read.hash != standard_gates(written).hash:
            problems.append("the program is not the circuit of the family")
        names = [f"x_{k}" for k in range(written.n_inputs)] + [f"w_{k}" for k in range(written.n_weights)]
        wires = [f"q[{qubit}]" for qubit in range(circuit.qubits)]
    for place, (point, wanted) in enumerate(zip(points, expected, strict=True)):
        ours = values_and_jacobian(written, _of(point, written))[0].numpy()
        worst = _largest(ours - wanted) if ours.shape == wanted.shape else np.inf
        if not worst <= VALUES:
            problems.append(f"point {place}: the expectation values of the JSON are off by {worst:.1e}")
    measured = entry.kind == "measured"
    gates = None if measured else standard_gates(written).gates
    subject = _Subject(path, text, written, names, wires, gates)
    return _compare(subject, [p if measured else _of(p, written) for p in points], problems, [])


def _of(point: Point, circuit: Circuit) -> Point:
    return point if circuit.n_inputs else Point((), point.weights)


def _compare(subject: _Subject, points: list[Point], problems: list[str], notes: list[str]) -> Finding:
    from qfedfm.quantum.gallery import with_pennylane, with_qiskit

    values: dict[str, float] = {}
    gradients: dict[str, float] = {}
    written = subject.written
    for point in points:
        ours, jacobian = values_and_jacobian(written, point)
        bound = Point((), ()) if subject.gates is None else point
        for reader in READERS:
            arguments = (subject.program, written.observables, subject.names, bound)
            try:
                if reader == "qiskit":
                    theirs, slopes = with_qiskit.evaluate(*arguments)
                else:
                    theirs, slopes = with_pennylane.evaluate(*arguments, subject.wires, subject.gates)
            except RequestError as error:
                problems.append(str(error))
                continue
            values[reader] = max(values.get(reader, 0.0), _largest(theirs - ours.numpy()))
            if subject.names:
                gradients[reader] = max(gradients.get(reader, 0.0), _largest(slopes - jacobian.numpy()))
                silent = [written.n_inputs + k for k in written.zero_gradient_weights]
                if _largest(slopes[:, silent]) > 1e-12:
                    problems.append(f"{reader}: a weight without gradient has one")
    for what, found, limit in (("values", values, VALUES), ("gradients", gradients, GRADIENTS)):
        for name, worst in found.items():
            if not worst <= limit:
                problems.append(f"{name}: {what} differ by {worst:.1e}, more than {limit:.0e}")
    return Finding(str(subject.path), values, gradients, tuple(problems), tuple(notes))


def _largest(array: Array) -> float:
    return float(np.abs(array).max()) if array.size else 0.0

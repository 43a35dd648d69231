"""Writing the gallery: the same bytes every time, but for the last digits of the values."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from qfedfm.circuits import family
from qfedfm.circuits.openqasm import measured_qasm, standard_gates, to_qasm
from qfedfm.circuits.openqasm.writer import observable_text
from qfedfm.core.files import write_atomic
from qfedfm.quantum.gallery.entries import ENTRIES, Entry
from qfedfm.quantum.gallery.readme import family_readme, gallery_readme
from qfedfm.quantum.gallery.values import values

#: Raised when the meaning of a key of the JSON files changes.
FORMAT = 1
#: Values written on different machines agree to this.
TOLERANCE = 1e-12


def program(entry: Entry) -> str:
    """Returns the OpenQASM 3 program of an entry."""
    options = "".join(f", {key} {value}" for key, value in entry.options.items())
    layers = "1 layer" if entry.layers == 1 else f"{entry.layers} layers"
    comment = f"{entry.family}, {entry.qubits} qubits, {layers}{options}; written by qfedfm circuits export"
    if entry.kind == "measured":
        point = entry.points[0]
        return measured_qasm(entry.circuit, point.inputs, point.weights, comment=comment)
    fixed = ("amplitudes",) if entry.kind == "amplitudes" else ()
    return to_qasm(entry.written, comment=comment, fixed=fixed)


def record(entry: Entry) -> dict[str, Any]:
    """Returns what stands in the JSON file beside an entry's program."""
    circuit, lowered = entry.circuit, standard_gates(entry.written)
    return {
        "format": FORMAT,
        "family": entry.family,
        "qubits": entry.qubits,
        "layers": entry.layers,
        "options": dict(entry.options),
        "kind": entry.kind,
        "fixed": {"parameters": [], "amplitudes": ["inputs"], "measured": ["inputs", "weights"]}[entry.kind],
        "inputs": [{"name": r.name, "start": r.start, "shape": list(r.shape)} for r in circuit.inputs],
        "weights": [{"name": r.name, "start": r.start, "shape": list(r.shape)} for r in circuit.weights],
        "observables": [observable_text(observable) for observable in circuit.observables],
        "weights_without_gradient": list(circuit.zero_gradient_weights),
        "depth": lowered.depth,
        "two_qubit_gates": lowered.two_qubit_count,
        "hash": lowered.hash,
        "points": [
            {
                "inputs": list(point.inputs),
                "weights": list(point.weights),
                "expectations": values(circuit, point),
            }
            for point in entry.points
        ],
    }


def gallery_files() -> dict[str, str]:
    """Returns the content of every file of the gallery by its path in it."""
    files = {"README.md": gallery_readme()}
    for entry in ENTRIES:
        files.setdefault(f"{entry.family}/README.md", family_readme(entry.family))
        files |= entry_files(entry)
    return files


def entry_files(entry: Entry) -> dict[str, str]:
    """Returns the program, the JSON and the drawing of an entry by their paths in a gallery."""
    stem = f"{entry.family}/{entry.stem}"
    return {
        f"{stem}.qasm": program(entry),
        f"{stem}.json": json.dumps(record(entry), indent=1, ensure_ascii=False) + "\n",
        f"{stem}.svg": entry.circuit.svg(standalone=True) + "\n",
    }


def differences(folder: Path, *, strangers: bool = True) -> list[str]:
    """Returns one sentence for every file of ``folder`` that is not what would be written.

    Args:
        folder: A gallery.
        strangers: Whether files that would not be written count, too.
    """
    found: list[str] = []
    files = gallery_files()
    for name, content in sorted(files.items()):
        path = folder / name
        if not path.is_file():
            found.append(f"{name} is missing")
        elif not same(name, path.read_text(encoding="utf-8"), content):
            found.append(f"{name} is not what qfedfm circuits export writes")
    for path in sorted(folder.rglob("*")) if strangers else ():
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in files and not path.name.startswith("."):
            found.append(f"{name} is not a file of the gallery")
    return found


def export_gallery(folder: Path) -> list[str]:
    """Writes the gallery; files that hold the same already are left alone.

    Args:
        folder: Where to.

    Returns:
        The paths in it that were written.
    """
    return _write(folder, gallery_files())


def export_entry(
    folder: Path, name: str, *, qubits: int, layers: int, options: Mapping[str, Any]
) -> list[str]:
    """Writes the files of one size of a family; see :func:`export_gallery`.

    Raises:
        RequestError: An unknown family or option, or a size that it does not have.
    """
    family(name, qubits=qubits, layers=layers, **options)  # refuses what is wrong before anything is written
    label = "_".join(re.sub(r"\W+", "_", str(value)).strip("_") for _, value in sorted(options.items()))
    kind: Literal["parameters", "amplitudes"] = "amplitudes" if name == "amplitude" else "parameters"
    return _write(folder, entry_files(Entry(name, qubits, layers, options, label, kind)))


def _write(folder: Path, files: Mapping[str, str]) -> list[str]:
    written: list[str] = []
    for name, content in files.items():
        path = folder / name
        if path.is_file() and same(name, path.read_text(encoding="utf-8"), content):
            continue
        write_atomic(path, content)
        written.append(name)
    return written


def same(name: str, old: str, new: str) -> bool:
    """Whether two contents of a file say the same: to the byte, values to :data:`TOLERANCE`."""
    if old == new or not name.endswith(".json"):
        return old == new
    try:
        was, now = json.loads(old), json.loads(new)
        pairs = list(zip(_take_values(was), _take_values(now), strict=True))
    except (ValueError, KeyError, TypeError):
        return False
    return bool(was == now) and all(abs(a - b) <= TOLERANCE for a, b in pairs)


def _take_values(content: dict[str, Any]) -> list[float]:
    return [float(value) for point in content["points"] for value in point.pop("expectations")]

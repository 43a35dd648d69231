"""The pages of the gallery."""

from __future__ import annotations

from qfedfm.circuits import families, family_description
from qfedfm.circuits.openqasm import standard_gates
from qfedfm.quantum.gallery.entries import ENTRIES, Entry

_KINDS = {
    "parameters": "",
    "amplitudes": "amplitudes fixed",
    "measured": "all parameters fixed, measured mid-way",
}


def family_readme(name: str) -> str:
    """Returns the page of a family."""
    words = family_description(name)
    entries = [entry for entry in ENTRIES if entry.family == name]
    drawn = max(
        (e for e in entries if e.kind != "measured" and not e.label), key=lambda e: (e.qubits <= 5, e.qubits)
    )
    lines = [
        f"# {name}",
        "",
        f"{words.title}.",
        "",
        f"![{name}, {drawn.qubits} qubits, {_count(drawn.layers, 'layer')}]({drawn.stem}.svg)",
        "",
        words.text,
        "",
        f"**Used for** {words.use}",
        "",
        f"**Paper.** {words.paper}.",
        "",
        "## Options",
        "",
        *[f"- `{option}`: {meaning}" for option, meaning in words.options.items()],
        "",
        "## Files",
        "",
        "Each `.qasm` has a `.json` with its parameters, observables, explicit points and float64",
        "expectation values, and a drawing as `.svg`.",
        "",
        "| file | options | inputs | weights | without gradient | observables | depth | two-qubit gates |",
        "|---|---|---|---|---|---|---|---|",
        *[_row(entry) for entry in entries],
        "",
        "Depth and two-qubit gates are those of the file, in gates that Qiskit and PennyLane both read.",
        "Weights without gradient change no expectation value and need not be trained or sent.",
        "",
        "```python",
        "from qfedfm.circuits import family",
        "",
        f'circuit = family("{name}", qubits={drawn.qubits}, layers={drawn.layers})',
        "```",
        "",
        f"Written by `qfedfm circuits export` from `qfedfm/circuits/families/{name}.py`; do not edit.",
    ]
    return "\n".join(lines) + "\n"


def _row(entry: Entry) -> str:
    circuit, lowered = entry.circuit, standard_gates(entry.written)
    options = ", ".join(
        [*(f"{key} {value}" for key, value in entry.options.items()), _KINDS[entry.kind]]
    ).strip(", ")
    cells = [
        f"[{entry.stem}]({entry.stem}.qasm)",
        options,
        circuit.n_inputs,
        circuit.n_weights,
        len(circuit.zero_gradient_weights),
        circuit.n_observables,
        lowered.depth,
        lowered.two_qubit_count,
    ]
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def gallery_readme() -> str:
    """Returns the first page."""
    lines = [
        "# Circuits",
        "",
        "Every circuit that qfedfm runs, as OpenQASM 3 files that Qiskit and PennyLane read, with explicit",
        "parameters and the expectation values that must come out.",
        "",
        "| family | what | used for |",
        "|---|---|---|",
    ]
    for name in families():
        words = family_description(name)
        lines.append(f"| [{name}]({name}/README.md) | {words.title} | {words.use} |")
    lines += [
        "",
        "## Reading a file",
        "",
        "```python",
        "import json, pathlib",
        "from qiskit import qasm3",
        "",
        'folder = pathlib.Path("circuits/strongly_entangling")',
        'circuit = qasm3.loads((folder / "n04_l2.qasm").read_text())',
        'beside = json.loads((folder / "n04_l2.json").read_text())',
        "```",
        "",
        "PennyLane has the gates of `stdgates.inc` but raises on the include, so that line has to go:",
        "",
        "```python",
        "import pennylane as qml",
        "",
        'program = (folder / "n04_l2.qasm").read_text().replace(\'include "stdgates.inc";\', "")',
        "function = qml.from_qasm3(program)  # call it with x_0=..., w_0=...; its wires are q[0], q[1], ...",
        "```",
        "",
        "- Inputs are `x_0`, `x_1`, ..., weights `w_0`, `w_1`, ..., radians; the annotations",
        "  `@qfedfm.input NAME SHAPE` and `@qfedfm.weight NAME SHAPE` say which array they are entries of.",
        "- OpenQASM has no observables: they stand in `@qfedfm.observable` and in the JSON, with numbers of",
        "  qubits in brackets. Files contain no measurements.",
        "- `@qfedfm.fixed` marks files whose parameters were written into them as numbers: amplitudes, which",
        "  need other gates for other values, and circuits that measure mid-way.",
        "- `q[0]` is the first qubit: the most significant bit of a basis state's index in qfedfm and",
        "  PennyLane, the least significant one in Qiskit. A circuit is the same up to a global phase.",
        "- `qfedfm circuits check` reads every file with Qiskit and PennyLane and compares values and",
        "  gradients.",
        "",
        "Written by `qfedfm circuits export`; do not edit.",
    ]
    return "\n".join(lines) + "\n"


def _count(number: int, word: str) -> str:
    return f"{number} {word}" + ("" if number == 1 else "s")

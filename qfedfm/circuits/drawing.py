"""Drawings of a circuit: text for terminals, SVG for reports."""

from __future__ import annotations

from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING

from qfedfm.circuits.gates import GATES

if TYPE_CHECKING:
    from qfedfm.circuits.circuit import Circuit, Gate


def columns(circuit: Circuit) -> list[list[Gate]]:
    """Arranges the gates in columns, as far left as possible, none drawn across another."""
    free = [0] * circuit.qubits
    arranged: list[list[Gate]] = []
    for gate in circuit.gates:
        span = range(min(gate.qubits), max(gate.qubits) + 1)
        column = max(free[qubit] for qubit in span)
        while len(arranged) <= column:
            arranged.append([])
        arranged[column].append(gate)
        for qubit in span:
            free[qubit] = column + 1
    return arranged


def _label(gate: Gate, separator: str = ",") -> str:
    angles = separator.join(angle.label() for angle in gate.angles)
    return f"{GATES[gate.name].label}({angles})" if angles else GATES[gate.name].label


def _marks(gate: Gate) -> dict[int, str]:
    """What stands on each of the gate's qubits in a text drawing."""
    marks = {qubit: "●" for qubit in gate.qubits[: gate.controls]}
    for qubit in gate.qubits[gate.controls :]:
        marks[qubit] = "●" if gate.name == "cz" else "⊕" if gate.name in ("cx", "ccx") else _label(gate)
    return marks


def draw_text(circuit: Circuit, width: int = 100) -> str:
    """Returns the circuit as text: three lines a qubit, folded at ``width`` characters."""
    names = [f"q{qubit}: " for qubit in range(circuit.qubits)]
    indent = max(len(name) for name in names)
    ends = _measured(circuit)
    blocks: list[list[str]] = []
    lines = _start(names, indent)
    empty = True
    for column in [*columns(circuit), None]:
        cells = _text_column(circuit.qubits, column) if column is not None else _end_column(ends)
        if not empty and len(lines[0]) + len(cells[0]) > width:
            blocks.append(lines)
            lines, empty = _start(names, indent), True
        lines = [line + cell for line, cell in zip(lines, cells, strict=True)]
        empty = False
    blocks.append(lines)
    return "\n\n".join("\n".join(line.rstrip() for line in block if line.strip()) for block in blocks)


def _start(names: list[str], indent: int) -> list[str]:
    lines: list[str] = []
    for name in names:
        lines += [name.ljust(indent), " " * indent]
    return lines


def _measured(circuit: Circuit) -> list[str]:
    letters: list[set[str]] = [set() for _ in range(circuit.qubits)]
    for observable in circuit.observables:
        for _, string in observable.terms:
            for qubit, letter in string:
                letters[qubit].add(letter)
    return ["".join(sorted(found)) for found in letters]


def _end_column(ends: list[str]) -> list[str]:
    width = 4 + max((len(end) for end in ends), default=0)
    lines: list[str] = []
    for end in ends:
        lines += [(f"─┤⟨{end}⟩" if end else "─").ljust(width), " " * width]
    return lines


def _text_column(qubits: int, gates: list[Gate]) -> list[str]:
    marks: dict[int, str] = {}
    crossed: set[int] = set()
    joined: set[int] = set()
    for gate in gates:
        marks |= _marks(gate)
        low, high = min(gate.qubits), max(gate.qubits)
        joined |= set(range(low, high))
        crossed |= set(range(low, high)) - set(gate.qubits)
    width = max(len(mark) for mark in marks.values()) + 2
    lines: list[str] = []
    for qubit in range(qubits):
        mark = marks.get(qubit, "┼" if qubit in crossed else "─")
        lines += [mark.center(width, "─"), ("│" if qubit in joined else " ").center(width)]
    return lines


# SVG: a drawing is at most this wide; in a report, so that it stays readable on a telephone.
_WIDTH, _WIDTH_ALONE = 420, 780
_CELL, _ROW, _LEFT = 54, 44, 34


# An image has no text around it: it follows the reader's scheme itself.
_OWN_COLOURS = "<style>svg{color:#1f2328}@media (prefers-color-scheme:dark){svg{color:#e6edf3}}</style>"


def draw_svg(circuit: Circuit, *, standalone: bool = False) -> str:
    """Returns one self-contained ``<svg>`` element; wide circuits are folded into several rows.

    Args:
        circuit: What to draw.
        standalone: For a file of its own, shown as an image: with its own colours, light and dark.
    """
    arranged = columns(circuit)
    per_line = ((_WIDTH_ALONE if standalone else _WIDTH) - _LEFT - 36) // _CELL
    folded = [arranged[start : start + per_line] for start in range(0, len(arranged), per_line)] or [[]]
    height = _ROW * circuit.qubits + 14
    widest = max(len(line) for line in folded)
    width = _LEFT + widest * _CELL + 40
    body: list[str] = []
    for row, line in enumerate(folded):
        body += _svg_line(circuit, line, row * height, last=row == len(folded) - 1)
    title = escape(
        f"{circuit.name}: {circuit.qubits} qubits, {len(circuit.gates)} gates, depth {circuit.depth}"
    )
    whole = height * len(folded)
    size = (
        f'width="{width}" height="{whole}"'
        if standalone
        else (f'width="100%" style="max-width:{width * 3 // 2}px"')
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {whole}" '
        f'{size} role="img" aria-label="{title}" '
        'fill="none" stroke="currentColor" stroke-width="1.2" '
        'font-family="ui-monospace,Menlo,Consolas,monospace" font-size="11" text-anchor="middle">'
        f"<title>{title}</title>{_OWN_COLOURS if standalone else ''}{''.join(body)}</svg>"
    )


def _svg_line(circuit: Circuit, line: list[list[Gate]], top: int, *, last: bool) -> list[str]:
    def y(qubit: int) -> float:
        return top + _ROW * (qubit + 0.5)

    gates = [(_LEFT + _CELL * (place + 0.5), gate) for place, column in enumerate(line) for gate in column]
    end = _LEFT + len(line) * _CELL + 6
    parts: list[str] = []
    for qubit in range(circuit.qubits):
        stops = [float(_LEFT - 6)]
        for x, name in sorted((x, gate.name) for x, gate in gates if qubit in gate.qubits[gate.controls :]):
            if name not in ("cx", "ccx", "cz"):
                stops += [x - 23, x + 23]
        stops.append(float(end))
        for left, right in list(pairwise(stops))[::2]:
            parts.append(f'<path d="M{left:g} {y(qubit):g}H{right:g}" opacity=".55"/>')
        parts.append(_svg_text(14, y(qubit), f"q{qubit}"))
    for x, gate in gates:
        parts += _svg_gate(gate, x, y)
    if last:
        for qubit, letters in enumerate(_measured(circuit)):
            if letters:
                parts.append(_svg_text(end + 14, y(qubit), f"⟨{letters}⟩"))
    return parts


def _svg_gate(gate: Gate, x: float, y: object) -> list[str]:
    assert callable(y)
    low, high = y(min(gate.qubits)), y(max(gate.qubits))
    parts: list[str] = []
    if len(gate.qubits) > 1:
        boxes = [y(q) for q in sorted(gate.qubits[gate.controls :]) if gate.name not in ("cx", "ccx", "cz")]
        stops = [low, *(edge for middle in boxes for edge in (middle - 15, middle + 15)), high]
        for start, end in list(pairwise(stops))[::2]:
            if end > start:
                parts.append(f'<path d="M{x:g} {start:g}V{end:g}"/>')
    dots = gate.qubits if gate.name == "cz" else gate.qubits[: gate.controls]
    parts += [f'<circle cx="{x:g}" cy="{y(qubit):g}" r="3.5" fill="currentColor"/>' for qubit in dots]
    for qubit in gate.qubits[gate.controls :]:
        if gate.name == "cz":
            continue
        if gate.name in ("cx", "ccx"):
            parts.append(f'<circle cx="{x:g}" cy="{y(qubit):g}" r="8"/>')
            parts.append(f'<path d="M{x - 8:g} {y(qubit):g}h16M{x:g} {y(qubit) - 8:g}v16"/>')
            continue
        # The wire and the joining line are interrupted behind a box, so no background colour is needed.
        parts.append(
            f'<rect x="{x - 23:g}" y="{y(qubit) - 15:g}" width="46" height="30" rx="4" '
            'fill="currentColor" fill-opacity=".08"/>'
        )
        angles = [angle.label() for angle in gate.angles]
        short = _shorten(angles)
        parts.append(_svg_text(x, y(qubit) - (5 if short else 0), GATES[gate.name].label))
        if short:
            parts.append(_svg_text(x, y(qubit) + 8, short, size=9))
    return parts


def _shorten(angles: list[str]) -> str:
    if len(angles) == 3 and all(angle.startswith("w") for angle in angles):
        return f"{angles[0]}–{angles[2][1:]}"
    text = ",".join(angles)
    return text if len(text) <= 8 else text[:7] + "…"


def _svg_text(x: float, y: float, text: str, size: int = 0) -> str:
    extra = f' font-size="{size}"' if size else ""
    return (
        f'<text x="{x:g}" y="{y:g}" dominant-baseline="central" fill="currentColor" stroke="none"{extra}>'
        f"{escape(text)}</text>"
    )

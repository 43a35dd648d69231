"""What the gallery holds, and at which parameters its values are given."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from qfedfm.circuits import Circuit, families, family
from qfedfm.circuits.openqasm import with_fixed_amplitudes

_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


@dataclass(frozen=True)
class Point:
    """Explicit parameters: one value for each input and each weight, radians."""

    inputs: tuple[float, ...]
    weights: tuple[float, ...]


@dataclass(frozen=True)
class Entry:
    """One file of the gallery.

    Attributes:
        family: The family.
        qubits: Its size.
        layers: Its layers.
        options: Its further options.
        label: What tells the file apart from others of the same size.
        kind: ``parameters``: all parameters are inputs of the program. ``amplitudes``: the amplitudes are
            prepared by fixed gates. ``measured``: everything is fixed, controls are measured mid-way.
    """

    family: str
    qubits: int
    layers: int
    options: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""
    kind: Literal["parameters", "amplitudes", "measured"] = "parameters"

    @property
    def stem(self) -> str:
        """The file's name without its suffix, such as ``n04_l2``."""
        return f"n{self.qubits:02d}_l{self.layers}" + (f"_{self.label}" if self.label else "")

    @cached_property
    def circuit(self) -> Circuit:
        """The family's circuit."""
        return family(self.family, qubits=self.qubits, layers=self.layers, **self.options)

    @cached_property
    def points(self) -> tuple[Point, ...]:
        """Where the values are given; with fixed parameters there is one point."""
        count = 2 if self.kind == "parameters" else 1
        return tuple(example_point(self.circuit, number) for number in range(count))

    @cached_property
    def written(self) -> Circuit:
        """The circuit as it stands in the file, up to the choice of gates."""
        if self.kind == "amplitudes":
            return with_fixed_amplitudes(self.circuit, self.points[0].inputs)
        return self.circuit


def example_point(circuit: Circuit, number: int) -> Point:
    """Returns parameters that nothing random chose: whole numbers where a protocol takes them, else angles.

    Angles are ``2 frac(k g) - 1`` times pi with the golden ratio ``g``, rounded to six digits, so that no two
    agree and none is a special angle.

    Args:
        circuit: What takes them.
        number: 0, 1, ...: another point.
    """
    start = 1 + number * (circuit.n_inputs + circuit.n_weights)
    drawn = [
        round(math.pi * (2.0 * math.fmod(k * _GOLDEN, 1.0) - 1.0), 6)
        for k in range(start, start + circuit.n_inputs + circuit.n_weights)
    ]
    inputs = drawn[: circuit.n_inputs]
    if number == 0 and circuit.name == "bb84_prepare_measure":
        inputs = [float((k * 5 // 3) % 2) for k in range(circuit.n_inputs)]
    if number == 0 and circuit.name == "qft_sum":
        inputs = [float(k + 1) for k in range(circuit.n_inputs)]
    return Point(tuple(inputs), tuple(drawn[circuit.n_inputs :]))


def _entries() -> tuple[Entry, ...]:
    found: list[Entry] = []
    for name in families():
        kind: Literal["parameters", "amplitudes"] = "amplitudes" if name == "amplitude" else "parameters"
        sizes = {"swap_test": ((3, 1), (5, 2)), "bb84_prepare_measure": ((2, 1), (4, 1))}
        for qubits, layers in sizes.get(name, ((2, 1), (4, 2))):
            found.append(Entry(name, qubits, layers, kind=kind))
    found += [
        Entry("convolution", 4, 2, label="measured", kind="measured"),
        Entry("convolution", 8, 3),
        Entry("hardware_efficient", 4, 2, {"topology": "ring", "entangler": "crx"}, "ring_crx"),
        Entry("hardware_efficient", 4, 2, {"topology": "all_to_all", "entangler": "rzz"}, "all_to_all_rzz"),
        Entry("hardware_efficient", 7, 1, {"topology": "heavy_hex", "entangler": "cz"}, "heavy_hex_cz"),
        Entry("iqp", 4, 2, {"trained": False}, "feature_map"),
        Entry("reuploading", 8, 3),
        Entry("strongly_entangling", 8, 3),
    ]
    return tuple(sorted(found, key=lambda entry: (entry.family, entry.stem)))


#: Every file of the gallery, sorted by family and name.
ENTRIES = _entries()

"""The gates, and what each is made of: Pauli rotations and permutations of basis states.

Every gate is, up to a global phase, a product of two primitives, which is all that executors and
analyses need to know:

* :class:`Rotation`: ``exp(-i angle P / 2)`` for a Pauli string ``P`` on some qubits;
* :class:`Permutation`: ``cx``, ``swap``, ``ccx`` or ``cswap`` (which permute basis states) or ``cz``
  (which changes signs).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from qfedfm.circuits.angle import Angle, constant


@dataclass(frozen=True, slots=True)
class Rotation:
    """``exp(-i angle P / 2)``; ``letters[k]`` (``X``, ``Y`` or ``Z``) acts on ``qubits[k]``."""

    letters: str
    qubits: tuple[int, ...]
    angle: Angle


@dataclass(frozen=True, slots=True)
class Permutation:
    """``cx``, ``cz``, ``swap``, ``ccx`` or ``cswap`` on ``qubits``, controls first."""

    name: str
    qubits: tuple[int, ...]


Primitive = Rotation | Permutation
_Angles = tuple[Angle, ...]
_Qubits = tuple[int, ...]
_Decomposition = Callable[[_Qubits, _Angles], list[Primitive]]


class GateKind(NamedTuple):
    """How many qubits and angles a gate takes, its label in drawings, and its primitives."""

    qubits: int
    angles: int
    label: str
    decompose: _Decomposition


def _rotation(letters: str) -> _Decomposition:
    return lambda q, a: [Rotation(letters, q, a[0])]


def _fixed(*steps: tuple[str, float]) -> _Decomposition:
    return lambda q, a: [Rotation(letter, q, constant(angle)) for letter, angle in steps]


def _permutation(name: str) -> _Decomposition:
    return lambda q, a: [Permutation(name, q)]


def _rot(q: _Qubits, a: _Angles) -> list[Primitive]:
    return [Rotation("Z", q, a[0]), Rotation("Y", q, a[1]), Rotation("Z", q, a[2])]


def _u3(q: _Qubits, a: _Angles) -> list[Primitive]:
    return [Rotation("Z", q, a[2]), Rotation("Y", q, a[0]), Rotation("Z", q, a[1])]


def _cy(q: _Qubits, a: _Angles) -> list[Primitive]:
    quarter = constant(math.pi / 2)
    return [Rotation("Z", q[1:], -quarter), Permutation("cx", q), Rotation("Z", q[1:], quarter)]


def _ch(q: _Qubits, a: _Angles) -> list[Primitive]:
    eighth = constant(math.pi / 4)
    return [Rotation("Y", q[1:], -eighth), Permutation("cz", q), Rotation("Y", q[1:], eighth)]


def _controlled(letter: str) -> _Decomposition:
    # exp(-i a/2 |1><1| P) with |1><1| = (1 - Z)/2
    return lambda q, a: [Rotation(letter, q[1:], a[0] / 2), Rotation("Z" + letter, q, a[0] / -2)]


def _controlled_phase(q: _Qubits, a: _Angles) -> list[Primitive]:
    half = a[0] / 2
    return [Rotation("Z", q[:1], half), Rotation("Z", q[1:], half), Rotation("ZZ", q, -half)]


def _iswap(q: _Qubits, a: _Angles) -> list[Primitive]:
    return [Rotation(letters, q, constant(-math.pi / 2)) for letters in ("XX", "YY")]


_PI = math.pi

#: Every gate by name.
GATES: dict[str, GateKind] = {
    "id": GateKind(1, 0, "I", _fixed()),
    "x": GateKind(1, 0, "X", _fixed(("X", _PI))),
    "y": GateKind(1, 0, "Y", _fixed(("Y", _PI))),
    "z": GateKind(1, 0, "Z", _fixed(("Z", _PI))),
    "h": GateKind(1, 0, "H", _fixed(("Y", _PI / 2), ("X", _PI))),
    "s": GateKind(1, 0, "S", _fixed(("Z", _PI / 2))),
    "sdg": GateKind(1, 0, "S†", _fixed(("Z", -_PI / 2))),
    "t": GateKind(1, 0, "T", _fixed(("Z", _PI / 4))),
    "tdg": GateKind(1, 0, "T†", _fixed(("Z", -_PI / 4))),
    "sx": GateKind(1, 0, "√X", _fixed(("X", _PI / 2))),
    "rx": GateKind(1, 1, "RX", _rotation("X")),
    "ry": GateKind(1, 1, "RY", _rotation("Y")),
    "rz": GateKind(1, 1, "RZ", _rotation("Z")),
    "p": GateKind(1, 1, "P", _rotation("Z")),
    "rot": GateKind(1, 3, "Rot", _rot),
    "u3": GateKind(1, 3, "U", _u3),
    "cx": GateKind(2, 0, "X", _permutation("cx")),
    "cy": GateKind(2, 0, "Y", _cy),
    "cz": GateKind(2, 0, "Z", _permutation("cz")),
    "ch": GateKind(2, 0, "H", _ch),
    "swap": GateKind(2, 0, "×", _permutation("swap")),
    "iswap": GateKind(2, 0, "iSWAP", _iswap),
    "crx": GateKind(2, 1, "RX", _controlled("X")),
    "cry": GateKind(2, 1, "RY", _controlled("Y")),
    "crz": GateKind(2, 1, "RZ", _controlled("Z")),
    "cp": GateKind(2, 1, "P", _controlled_phase),
    "rxx": GateKind(2, 1, "RXX", _rotation("XX")),
    "ryy": GateKind(2, 1, "RYY", _rotation("YY")),
    "rzz": GateKind(2, 1, "RZZ", _rotation("ZZ")),
    "ccx": GateKind(3, 0, "X", _permutation("ccx")),
    "cswap": GateKind(3, 0, "×", _permutation("cswap")),
}

#: How many of a gate's first qubits are controls (drawn as dots).
CONTROLS: dict[str, int] = {
    "cx": 1, "cy": 1, "cz": 1, "ch": 1, "crx": 1, "cry": 1, "crz": 1, "cp": 1, "ccx": 2, "cswap": 1,
}  # fmt: skip

"""Lowering: from a circuit to the few kinds of steps an executor has to know.

A program alternates *singles* (every qubit's run of rotations, fused later into one 2x2) and
*entanglers* (permutations of basis states with signs, merged into one index array, and Pauli
rotations on several qubits). Gates move to the earliest stage that the order on their qubits allows.

Angles are rows of two tables: rows of weights only (one value per client) and rows that contain an
input (one value per sample).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qfedfm.circuits import Angle, Circuit, Observable, Permutation, Rotation
from qfedfm.core.recent import Recent

Index = npt.NDArray[np.int64]
Signs = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Element:
    """One rotation of a chain: its letter and its angle."""

    letter: str
    angle: Angle

    @property
    def per_sample(self) -> bool:
        """Whether an input occurs in the angle."""
        return bool(self.angle.inputs)


@dataclass(frozen=True)
class Singles:
    """Rotations on single qubits: ``chains[qubit]`` in the order in which they act."""

    chains: dict[int, tuple[Element, ...]]


@dataclass(frozen=True)
class Monomial:
    """``new[i] = sign[i] * old[index[i]]``; no sign array if all are 1."""

    index: Index
    sign: Signs | None


@dataclass(frozen=True)
class PauliRotation:
    """``exp(-i angle P / 2)`` with ``(P s)[i] = (-i)**ys * (-1)**|i & z| * s[i ^ x]``."""

    x: int
    z: int
    ys: int
    angle: Angle


Step = Singles | Monomial | PauliRotation


@dataclass(frozen=True)
class Program:
    """A lowered circuit: its steps and its observables."""

    circuit: Circuit
    steps: tuple[Step, ...]


def masks(qubits: int, string: tuple[tuple[int, str], ...]) -> tuple[int, int, int]:
    """Returns ``x``, ``z`` and the number of ``Y`` of a Pauli string (see :class:`PauliRotation`)."""
    x = z = ys = 0
    for qubit, letter in string:
        bit = 1 << (qubits - 1 - qubit)
        x |= bit if letter in "XY" else 0
        z |= bit if letter in "YZ" else 0
        ys += letter == "Y"
    return x, z, ys


def parity_signs(qubits: int, mask: int) -> Signs:
    """Returns ``(-1)**|i & mask|`` for every basis state ``i``, shape ``(2**qubits,)``."""
    index = np.arange(2**qubits, dtype=np.int64)
    return np.where(np.bitwise_count(index & mask) & 1, -1, 1).astype(np.int8)


def diagonal(qubits: int, observable: Observable) -> npt.NDArray[np.float64]:
    """Returns the diagonal of an observable in which only ``Z`` occurs, shape ``(2**qubits,)``."""
    total = np.zeros(2**qubits)
    for coefficient, string in observable.terms:
        total += coefficient * parity_signs(qubits, masks(qubits, string)[1])
    return total


_CACHE: Recent[Program] = Recent(64)


def lower(circuit: Circuit) -> Program:
    """Returns the program of a circuit; programs of recent circuits are kept."""
    return _CACHE.get(circuit.hash, lambda: _lower(circuit))


def stages(circuit: Circuit) -> list[Singles | tuple[Permutation | Rotation, ...]]:
    """Returns rotations on single qubits and what joins qubits in turn, without any array of size 2**n."""
    level = [0] * circuit.qubits
    singles: dict[int, dict[int, list[Element]]] = {}
    entanglers: dict[int, list[Permutation | Rotation]] = {}
    for primitive in circuit.primitives():
        if isinstance(primitive, Rotation) and len(primitive.qubits) == 1:
            (qubit,) = primitive.qubits
            level[qubit] += level[qubit] % 2
            chains = singles.setdefault(level[qubit], {})
            chains.setdefault(qubit, []).append(Element(primitive.letters, primitive.angle))
            continue
        stage = max(level[qubit] + 1 - level[qubit] % 2 for qubit in primitive.qubits)
        for qubit in primitive.qubits:
            level[qubit] = stage
        entanglers.setdefault(stage, []).append(primitive)
    found: list[Singles | tuple[Permutation | Rotation, ...]] = []
    for stage in range(max([*singles, *entanglers, 0]) + 1):
        if stage in singles:
            found.append(Singles({q: tuple(chain) for q, chain in sorted(singles[stage].items())}))
        elif stage in entanglers:
            found.append(tuple(entanglers[stage]))
    return found


def _lower(circuit: Circuit) -> Program:
    steps: list[Step] = []
    for stage in stages(circuit):
        steps += [stage] if isinstance(stage, Singles) else _entangling_steps(circuit.qubits, stage)
    return Program(circuit, tuple(steps))


def _entangling_steps(qubits: int, gates: tuple[Permutation | Rotation, ...]) -> list[Step]:
    steps: list[Step] = []
    for gate in gates:
        if isinstance(gate, Rotation):
            x, z, ys = masks(qubits, tuple(zip(gate.qubits, gate.letters, strict=True)))
            steps.append(PauliRotation(x, z, ys, gate.angle))
            continue
        step = _monomial(qubits, gate)
        if steps and isinstance(steps[-1], Monomial):
            step = _compose(steps.pop(), step)  # type: ignore[arg-type]
        steps.append(step)
    return steps


def _monomial(qubits: int, gate: Permutation) -> Monomial:
    index = np.arange(2**qubits, dtype=np.int64)
    bits = [1 << (qubits - 1 - qubit) for qubit in gate.qubits]
    if gate.name == "cz":
        both = bits[0] | bits[1]
        return Monomial(index, np.where(index & both == both, -1, 1).astype(np.int8))
    if gate.name in ("cx", "ccx"):
        controls = sum(bits[:-1])
        return Monomial(np.where(index & controls == controls, index ^ bits[-1], index), None)
    a, b = bits[-2:]
    controls = sum(bits[:-2])
    differ = ((index & a != 0) != (index & b != 0)) & (index & controls == controls)
    return Monomial(np.where(differ, index ^ (a | b), index), None)


def _compose(first: Monomial, second: Monomial) -> Monomial:
    index = first.index[second.index]
    sign = None if first.sign is None else first.sign[second.index]
    if second.sign is not None:
        sign = second.sign if sign is None else sign * second.sign
    return Monomial(index, sign)

"""Permutations of basis states that are linear over bits: runs of CNOTs and swaps, in any number of qubits.

A map is the tuple of its values at the n powers of two; ``new[i] = old[map(i)]``. It needs no table of 2**n
numbers.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from qfedfm.circuits import Permutation

Map = tuple[int, ...]


def apply(columns: Map, index: int) -> int:
    """Returns the map's value at an index."""
    value = 0
    for bit, column in enumerate(columns):
        if index >> bit & 1:
            value ^= column
    return value


def of_gates(qubits: int, gates: Iterable[Permutation]) -> Map:
    """Returns the map of ``cx`` and ``swap`` gates, the first of them acting first."""
    columns: Map = tuple(1 << bit for bit in range(qubits))
    for gate in gates:
        a, b = (1 << (qubits - 1 - qubit) for qubit in gate.qubits)
        step = []
        for bit in range(qubits):
            image = 1 << bit
            if gate.name == "cx":
                image ^= b if image == a else 0
            elif image in (a, b):
                image ^= a | b
            step.append(image)
        columns = tuple(apply(columns, image) for image in step)
    return columns


def transposed(columns: Map, mask: int) -> int:
    """Returns the mask ``m`` with ``parity(m & i) = parity(mask & map(i))`` for every index ``i``."""
    return sum(((column & mask).bit_count() & 1) << bit for bit, column in enumerate(columns))


def tables(columns: Map) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Returns the map at all low halves and at all high halves of an index; it is the XOR of both."""
    split = len(columns) // 2
    found = []
    for half in (columns[:split], columns[split:]):
        values = np.zeros(1, np.int64)
        for column in half:
            values = np.concatenate([values, values ^ column])
        found.append(values)
    return found[0], found[1]

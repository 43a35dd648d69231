"""What the compiled executor reads: a program as arrays, and where the numbers of a call lie."""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from qfedfm.core.compiled import compiled
from qfedfm.quantum import kernel_views

WEIGHT_GATE, LANE_GATE, PERMUTE, SIGNS, PAULI, FIRST = range(6)
PRODUCT, ZERO, AMPLITUDES = range(3)
WEIGHT_RUN, SAMPLE_ROTATION = range(2)


class Tables(NamedTuple):
    """A program as arrays; "rows" are angles, "runs" are rotations by weights fused per client.

    Operations ``ops[k]`` are (kind, ...):
    WEIGHT_GATE, bit of the qubit, run; LANE_GATE, bit, first part, last part, place of its matrix;
    PERMUTE, start of its table; SIGNS, start of its factors; PAULI, x, z, ys, by sample?, row;
    FIRST, qubit, first part, last part, place of its matrix (a qubit of the initial product state).
    ``parts[p]`` is (WEIGHT_RUN, run) or (SAMPLE_ROTATION, element).
    """

    qubits: int
    n_inputs: int
    n_weights: int
    n_observables: int
    sample_rows: int
    weight_rows: int
    matrices: int
    preparation: int
    moves: int  # how many operations are PERMUTE
    row_offset: Any  # (rows,) sample rows first
    term_start: Any  # (rows + 1,)
    term_factor: Any  # (terms,)
    symbol_start: Any  # (terms + 1,)
    symbols: Any  # inputs by number, weights from n_inputs on
    sample_axis: Any  # (elements,) 0, 1, 2 for X, Y, Z
    sample_row: Any
    weight_axis: Any
    weight_row: Any
    run_start: Any  # (runs + 1,)
    parts: Any  # (parts, 2)
    ops: Any  # (operations, 6)
    permutations: Any  # uint32
    signs: Any
    diagonals: Any  # (2**qubits * observables,), empty if an observable has X or Y
    strings: Any  # (strings, 4): observable, x, z, ys
    string_factor: Any


_SCALARS = Tables._fields[: Tables._fields.index("row_offset")]
_REALS = ("row_offset", "term_factor", "signs", "diagonals", "string_factor")
_INTEGERS = tuple(
    name for name in Tables._fields if name not in (*_SCALARS, *_REALS, "permutations")
)  # in the order of the fields
assert (len(_SCALARS), len(_INTEGERS), len(_REALS)) == (9, 11, 5), "unpack counts on these"


class Packed(NamedTuple):
    """Tables in three arrays: a call has to hand over three arguments and not two dozen.

    ``integers`` begins with the scalars, then the end of every array of integers, then the end of every
    array of reals.
    """

    integers: npt.NDArray[np.int64]
    reals: npt.NDArray[Any]
    permutations: npt.NDArray[np.uint32]


def pack(tables: Tables) -> Packed:
    """Returns the tables packed; :func:`unpack` is the inverse inside compiled code."""
    integers = [getattr(tables, name).reshape(-1) for name in _INTEGERS]
    reals = [getattr(tables, name) for name in _REALS]
    first = len(_SCALARS) + len(integers) + len(reals)
    header = [getattr(tables, name) for name in _SCALARS]
    header += (first + np.cumsum([len(array) for array in integers])).tolist()
    header += np.cumsum([len(array) for array in reals]).tolist()
    return Packed(
        np.concatenate([np.array(header, dtype=np.int64), *integers]),
        np.concatenate(reals),
        tables.permutations,
    )


@compiled
def unpack(integers: Any, reals: Any, permutations: Any) -> Tables:
    """Returns views of packed tables."""
    e = r = integers  # the ends of arrays of integers stand from 9 on, those of reals from 20 on
    return Tables(
        e[0], e[1], e[2], e[3], e[4], e[5], e[6], e[7], e[8],
        kernel_views.stretch(reals, 0, r[20]),
        kernel_views.stretch(integers, 25, e[9]),
        kernel_views.stretch(reals, r[20], r[21]),
        kernel_views.stretch(integers, e[9], e[10]),
        kernel_views.stretch(integers, e[10], e[11]),
        kernel_views.stretch(integers, e[11], e[12]),
        kernel_views.stretch(integers, e[12], e[13]),
        kernel_views.stretch(integers, e[13], e[14]),
        kernel_views.stretch(integers, e[14], e[15]),
        kernel_views.stretch(integers, e[15], e[16]),
        kernel_views.rows_of(integers, e[16], e[17], 2),
        kernel_views.rows_of(integers, e[17], e[18], 6),
        kernel_views.stretch(permutations, 0, len(permutations)),
        kernel_views.stretch(reals, r[21], r[22]),
        kernel_views.stretch(reals, r[22], r[23]),
        kernel_views.rows_of(integers, e[18], e[19], 4),
        kernel_views.stretch(reals, r[23], r[24]),
    )  # fmt: skip


def sizes(tables: Tables, lane_count: int) -> tuple[int, int, int]:
    """Returns how many numbers a call keeps per client and per task, and needs per thread.

    What is kept lies in one array: all states, what is known per task (cosines and sines of sample
    rows, matrices), what is known per client (cosines and sines, fused runs), weight gradients per task.
    """
    runs = len(tables.run_start) - 1
    state = 2 * lane_count << tables.qubits

    def whole(count: int) -> int:
        return -(-count // lane_count) * lane_count

    client = whole(2 * whole(tables.weight_rows) + 13 * runs)
    task = lane_count * (2 * tables.sample_rows + 4 * tables.matrices)
    gradients = whole(3 * runs + tables.weight_rows + tables.n_weights)
    small = tables.n_observables + tables.sample_rows + 16
    return client, state + task + gradients, 3 * state + lane_count * small

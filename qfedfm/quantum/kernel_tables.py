"""What the compiled executor reads: a program as arrays, and where the numbers of a call lie."""

from __future__ import annotations

from typing import Any, NamedTuple

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


def sizes(tables: Tables, lane_count: int) -> tuple[int, int, int]:
    """Returns how many numbers a call keeps per client and per task, and needs per thread.

    What is kept lies in one array: all states, what is known per task (cosines and sines of sample
    rows, matrices), what is known per client (cosines and sines, fused runs), weight gradients per task.
    """
    runs = len(tables.run_start) - 1
    state = 2 * lane_count << tables.qubits

    def whole(count: int) -> int:
        return -(-count // lane_count) * lane_count

    client = whole(2 * tables.weight_rows + 13 * runs)
    task = lane_count * (2 * tables.sample_rows + 4 * tables.matrices)
    gradients = whole(3 * runs + tables.weight_rows + tables.n_weights)
    small = tables.n_observables + tables.sample_rows + 16
    return client, state + task + gradients, 3 * state + lane_count * small

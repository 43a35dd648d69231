"""The compiled statevector, forward: angles, gates, expectation values.

One *task* is one client and one tile of samples, one sample per lane. What it leaves is the final state.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

import math

from qfedfm.core.compiled import compiled
from qfedfm.quantum import angle_lanes, lanes
from qfedfm.quantum.kernel_tables import (
    AMPLITUDES,
    FIRST,
    LANE_GATE,
    PAULI,
    PERMUTE,
    PRODUCT,
    SIGNS,
    WEIGHT_GATE,
    WEIGHT_RUN,
)

# Half angles beyond this, radians, take the slow cosine: the fast one reduces small angles only.
_FAR = 1e4


@compiled
def _parity(value):
    value ^= value >> 16
    value ^= value >> 8
    value ^= value >> 4
    value ^= value >> 2
    value ^= value >> 1
    return value & 1


@compiled
def pauli_phase(index, z, ys):
    """``(-i)**ys (-1)**|index & z|`` as real and imaginary integers."""
    sign = 1 - 2 * _parity(index & z)
    turn = ys & 3
    if turn == 0:
        return sign, 0
    if turn == 1:
        return 0, -sign
    if turn == 2:
        return -sign, 0
    return 0, sign


@compiled
def cosine_place(width, row):
    """Where the cosine of a weight row's half angle stands; the sine stands ``width`` further."""
    return 2 * width * (row // width) + row % width


@compiled
def runs_place(t, width):
    """Where the fused runs of a client begin: behind the cosines and sines, 13 numbers each."""
    return 2 * width * (-(-t.weight_rows // width))


@compiled
def prepare_client(t, w, k, wc):
    """Angles of the weight rows and the fused runs of client ``k``."""
    rows, first = t.weight_rows, t.sample_rows
    width = angle_lanes.lanes_of(wc)
    behind = runs_place(t, width)
    for place in range(behind):
        wc[place] = 0
    far = False
    for r in range(rows):
        angle = t.row_offset[first + r]
        for term in range(t.term_start[first + r], t.term_start[first + r + 1]):
            value = t.term_factor[term]
            for s in range(t.symbol_start[term], t.symbol_start[term + 1]):
                value *= w[k, t.symbols[s] - t.n_inputs]
            angle += value
        wc[cosine_place(width, r)] = angle / 2
        far |= abs(angle) > 2 * _FAR
    if far:
        for r in range(rows):
            place = cosine_place(width, r)
            wc[place], wc[place + width] = math.cos(wc[place]), math.sin(wc[place])
    else:
        angle_lanes.sincos(wc, 0, behind // (2 * width))
    runs = len(t.run_start) - 1
    for run in range(runs):
        q0, q1, q2, q3 = w.dtype.type(1), w.dtype.type(0), w.dtype.type(0), w.dtype.type(0)
        for e in range(t.run_start[run], t.run_start[run + 1]):
            angle_place = cosine_place(width, t.weight_row[e])
            c, s = wc[angle_place], wc[angle_place + width]
            q0, q1, q2, q3 = _times_rotation(t.weight_axis[e], c, s, q0, q1, q2, q3)
        place = behind + 13 * run
        wc[place], wc[place + 1], wc[place + 2], wc[place + 3] = q0, q1, q2, q3
        wc[place + 4] = q0 * q0 + q1 * q1 - q2 * q2 - q3 * q3
        wc[place + 5] = 2 * (q1 * q2 - q0 * q3)
        wc[place + 6] = 2 * (q1 * q3 + q0 * q2)
        wc[place + 7] = 2 * (q1 * q2 + q0 * q3)
        wc[place + 8] = q0 * q0 - q1 * q1 + q2 * q2 - q3 * q3
        wc[place + 9] = 2 * (q2 * q3 - q0 * q1)
        wc[place + 10] = 2 * (q1 * q3 - q0 * q2)
        wc[place + 11] = 2 * (q2 * q3 + q0 * q1)
        wc[place + 12] = q0 * q0 - q1 * q1 - q2 * q2 + q3 * q3


@compiled
def _times_rotation(axis, c, s, q0, q1, q2, q3):
    """The quaternion of a rotation about an axis, after ``q``."""
    if axis == 0:
        return c * q0 - s * q1, c * q1 + s * q0, c * q2 - s * q3, c * q3 + s * q2
    if axis == 1:
        return c * q0 - s * q2, c * q1 + s * q3, c * q2 + s * q0, c * q3 - s * q1
    return c * q0 - s * q3, c * q1 - s * q2, c * q2 + s * q1, c * q3 + s * q0


@compiled
def _prepare_task(t, x, w, k, begin, wc, ws):
    """Angles of the sample rows of one tile, and the matrices that differ from lane to lane."""
    width = angle_lanes.lanes_of(ws)
    count = min(width, x.shape[1] - begin)
    far = False
    for r in range(t.sample_rows):
        place = 2 * width * r
        for lane in range(width):
            ws[place + lane] = t.row_offset[r] / 2
        for term in range(t.term_start[r], t.term_start[r + 1]):
            factor = t.term_factor[term] / 2
            low, high = t.symbol_start[term], t.symbol_start[term + 1]
            if high - low == 1 and t.symbols[low] < t.n_inputs:  # what nearly all of them are
                for lane in range(count):
                    ws[place + lane] += factor * x[k, begin + lane, t.symbols[low]]
                continue
            for lane in range(count):
                value = factor
                for s in range(low, high):
                    symbol = t.symbols[s]
                    if symbol < t.n_inputs:
                        value *= x[k, begin + lane, symbol]
                    else:
                        value *= w[k, symbol - t.n_inputs]
                ws[place + lane] += value
        for lane in range(count):
            far |= abs(ws[place + lane]) > _FAR
    if far:
        for place in range(0, 2 * width * t.sample_rows, 2 * width):
            for lane in range(place, place + width):
                ws[lane], ws[lane + width] = math.cos(ws[lane]), math.sin(ws[lane])
    else:
        angle_lanes.sincos(ws, 0, t.sample_rows)
    base = 2 * width * t.sample_rows
    for op in range(len(t.ops)):
        kind = t.ops[op, 0]
        if kind != LANE_GATE and kind != FIRST:
            continue
        place = base + 4 * width * t.ops[op, 4]
        for lane in range(width):
            ws[place + lane] = 1
        for number in range(place + width, place + 4 * width):
            ws[number] = 0
        for part in range(t.ops[op, 2], t.ops[op, 3]):
            index = t.parts[part, 1]
            if t.parts[part, 0] == WEIGHT_RUN:
                angle_lanes.turn(ws, place, wc, runs_place(t, width) + 13 * index)
            else:
                axis, row = t.sample_axis[index], t.sample_row[index]
                angle_lanes.spin(
                    ws, place, axis + 1, (axis + 1) % 3 + 1, (axis + 2) % 3 + 1, ws, 2 * width * row
                )  # fmt: skip


@compiled
def spread_rotation(t, by_sample, row, wc, ws, matrix, moff):
    """Copies cosine and sine of a Pauli rotation's half angle into two rows of lanes."""
    width = angle_lanes.lanes_of(matrix)
    if by_sample:
        for place in range(2 * width):
            matrix[moff + place] = ws[2 * width * row + place]
    else:
        angle_lanes.spread(matrix, moff, wc, cosine_place(width, row), 1)
        angle_lanes.spread(matrix, moff + width, wc, cosine_place(width, row) + width, 1)


@compiled
def pauli(psi, off, size, x, z, ys, matrix, moff, direction):
    """Applies (direction 1) or takes back (-1) a Pauli rotation."""
    if x == 0:
        for i in range(size):
            lanes.phase(psi, off, i, matrix, moff, direction * (1 - 2 * _parity(i & z)))
        return
    high = x
    while high & (high - 1):
        high &= high - 1
    for i in range(size):
        if i & high == 0:
            real, imag = pauli_phase(i, z, ys)
            # e = -i phase
            lanes.pair_rotation(psi, off, i, i ^ x, matrix, moff, direction * imag, -direction * real)


@compiled
def _product_state(t, ws, psi, off, levels, loff):
    """Builds the product state in ``psi``; level k (qubits before k) stands in ``levels`` at 2**k - 1."""
    width = angle_lanes.lanes_of(psi)
    base = 2 * width * t.sample_rows
    row = 2 * width
    for lane in range(width):
        levels[loff + lane] = 1
        levels[loff + width + lane] = 0
    for qubit in range(t.qubits):
        source = loff + ((1 << qubit) - 1) * row
        place = base + 4 * width * t.ops[qubit, 4]
        if qubit == t.qubits - 1:
            lanes.double(levels, source, 1 << qubit, ws, place, psi, off)
        else:
            target = loff + ((2 << qubit) - 1) * row
            lanes.double(levels, source, 1 << qubit, ws, place, levels, target)


@compiled
def _amplitude_state(t, x, k, begin, psi, off):
    width = angle_lanes.lanes_of(psi)
    size = 1 << t.qubits
    for place in range(off, off + 2 * width * size):
        psi[place] = 0
    for lane in range(min(width, x.shape[1] - begin)):
        norm = x.dtype.type(0)
        for i in range(size):
            norm += x[k, begin + lane, i] * x[k, begin + lane, i]
        norm = 1 / math.sqrt(norm)
        for i in range(size):
            psi[off + 2 * width * i + lane] = x[k, begin + lane, i] * norm


@compiled
def forward_task(t, x, w, k, begin, wc, ws, psi, off, scratch, out):
    """Runs one tile of samples of client ``k``: the state ends in ``psi``, the values in ``out``."""
    width = angle_lanes.lanes_of(psi)
    size = 1 << t.qubits
    state = 2 * width * size
    matrix = 3 * state
    _prepare_task(t, x, w, k, begin, wc, ws)
    # The state changes places with every permutation and must end in psi.
    here, hoff, there, toff = psi, off, scratch, 0
    if t.moves % 2:
        here, hoff, there, toff = there, toff, here, hoff
    if t.preparation == PRODUCT:
        _product_state(t, ws, here, hoff, scratch, state)
    elif t.preparation == AMPLITUDES:
        _amplitude_state(t, x, k, begin, here, hoff)
    else:
        for place in range(state):
            here[hoff + place] = 1 if place < width else 0
    base = 2 * width * t.sample_rows
    for op in range(len(t.ops)):
        kind = t.ops[op, 0]
        if kind == WEIGHT_GATE:
            angle_lanes.spread(scratch, matrix, wc, runs_place(t, width) + 13 * t.ops[op, 2], 4)
            lanes.gate(here, hoff, size, t.ops[op, 1], scratch, matrix)
        elif kind == LANE_GATE:
            lanes.gate(here, hoff, size, t.ops[op, 1], ws, base + 4 * width * t.ops[op, 4])
        elif kind == PERMUTE:
            lanes.permute(here, hoff, there, toff, size, t.permutations, t.ops[op, 1])
            here, hoff, there, toff = there, toff, here, hoff
        elif kind == SIGNS:
            lanes.scale(here, hoff, size, t.signs, t.ops[op, 1])
        elif kind == PAULI:
            spread_rotation(t, t.ops[op, 4], t.ops[op, 5], wc, ws, scratch, matrix)
            pauli(here, hoff, size, t.ops[op, 1], t.ops[op, 2], t.ops[op, 3], scratch, matrix, 1)
    values = matrix + 16 * width
    for place in range(values, values + t.n_observables * width):
        scratch[place] = 0
    if len(t.diagonals):
        lanes.measure(here, hoff, size, t.diagonals, t.n_observables, scratch, values)
    for term in range(len(t.strings)):
        target = values + t.strings[term, 0] * width
        for i in range(size):
            real, imag = pauli_phase(i, t.strings[term, 2], t.strings[term, 3])
            lanes.overlap(
                here, hoff, i, here, hoff, i ^ t.strings[term, 1], real, imag,
                scratch, target, t.string_factor, term,
            )  # fmt: skip
    for lane in range(min(width, x.shape[1] - begin)):
        for o in range(t.n_observables):
            out[k, begin + lane, o] = scratch[values + o * width + lane]

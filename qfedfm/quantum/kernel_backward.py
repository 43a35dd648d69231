"""The compiled statevector, backward, by the adjoint method.

Gates are taken back one by one on the state and on the co-state ``lam = O psi``, so no memory is needed
beyond those. What is collected for a gate is ``g[P] = Im <lam|P|psi>`` for ``P = X, Y, Z`` after the
gate: the derivative with respect to a rotation about ``P`` that follows the gate. For the rotations that
were fused into the gate, ``g`` is carried back like a Bloch vector (the rotation inverted), and the
derivative of each is the component along its axis.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

import math

from qfedfm.core.compiled import compiled
from qfedfm.quantum import angle_lanes, kernel_views, lanes
from qfedfm.quantum.kernel_forward import cosine_place, pauli, pauli_phase, runs_place, spread_rotation
from qfedfm.quantum.kernel_tables import (
    AMPLITUDES,
    LANE_GATE,
    PAULI,
    PERMUTE,
    PRODUCT,
    SIGNS,
    WEIGHT_GATE,
    WEIGHT_RUN,
)


@compiled
def _back_through_parts(t, first, last, wc, ws, scratch, g, rows, grad):
    """Carries ``g`` back through the rotations fused into a gate, collecting their derivatives."""
    width = angle_lanes.lanes_of(scratch)
    for part in range(last - 1, first - 1, -1):
        index = t.parts[part, 1]
        if t.parts[part, 0] == WEIGHT_RUN:
            angle_lanes.add_sums(grad, 3 * index, scratch, g, 3)
            if part == first:
                return
            angle_lanes.unturn(scratch, g, wc, runs_place(t, width) + 13 * index + 4)
        else:
            axis, row = t.sample_axis[index], t.sample_row[index]
            angle_lanes.add_row(scratch, rows + row * width, scratch, g + axis * width)
            angle_lanes.unspin(scratch, g, (axis + 1) % 3, (axis + 2) % 3, ws, 2 * width * row)


@compiled
def _back_through_product(t, wc, ws, psi, off, lam, loff, scratch, acc, rows, grad):
    """Derivatives of the initial product state; the state's own place is free for its levels."""
    width = angle_lanes.lanes_of(psi)
    base = 2 * width * t.sample_rows
    row = 2 * width
    for lane in range(width):
        psi[off + lane] = 1
        psi[off + width + lane] = 0
    for qubit in range(t.qubits - 1):
        source, target = off + ((1 << qubit) - 1) * row, off + ((2 << qubit) - 1) * row
        lanes.double(psi, source, 1 << qubit, ws, base + 4 * width * t.ops[qubit, 4], psi, target)
    for qubit in range(t.qubits - 1, -1, -1):
        place = base + 4 * width * t.ops[qubit, 4]
        level = off + ((1 << qubit) - 1) * row
        lanes.contract(lam, loff, psi, level, 1 << qubit, ws, place, scratch, acc)
        for lane in range(width):
            t0r, t0i = scratch[acc + lane], scratch[acc + width + lane]
            t1r, t1i = scratch[acc + 2 * width + lane], scratch[acc + 3 * width + lane]
            c0r, c0i = ws[place + lane], -ws[place + 3 * width + lane]
            c1r, c1i = ws[place + 2 * width + lane], -ws[place + width + lane]
            scratch[acc + lane] = t0r * c1i + t0i * c1r + t1r * c0i + t1i * c0r
            scratch[acc + width + lane] = -(t0r * c1r - t0i * c1i) + (t1r * c0r - t1i * c0i)
            scratch[acc + 2 * width + lane] = t0r * c0i + t0i * c0r - t1r * c1i - t1i * c1r
        _back_through_parts(t, t.ops[qubit, 2], t.ops[qubit, 3], wc, ws, scratch, acc, rows, grad)


@compiled
def backward_task(t, x, w, k, begin, wc, ws, psi, off, scratch, upstream, gx, grad):
    """Adds a tile's derivatives: to ``gx`` by input, to ``grad`` by run, weight row and weight."""
    width = angle_lanes.lanes_of(psi)
    size = 1 << t.qubits
    state = 2 * width * size
    count = min(width, x.shape[1] - begin)
    matrix, acc = 3 * state, 3 * state + 8 * width
    values = 3 * state + 16 * width
    rows = values + t.n_observables * width
    for place in range(values, rows + t.sample_rows * width):
        scratch[place] = 0
    for lane in range(count):
        for o in range(t.n_observables):
            scratch[values + o * width + lane] = upstream[k, begin + lane, o]
    here, hoff, there, toff = psi, off, scratch, 0
    lam, lhere, lthere = scratch, state, 2 * state
    if len(t.diagonals):
        lanes.measure_back(
            here, hoff, size, t.diagonals, t.n_observables, scratch, values, lam, lhere
        )  # fmt: skip
    else:
        for place in range(lhere, lhere + state):
            lam[place] = 0
    for term in range(len(t.strings)):
        source = values + t.strings[term, 0] * width
        for i in range(size):
            real, imag = pauli_phase(i, t.strings[term, 2], t.strings[term, 3])
            lanes.add_product(
                lam, lhere, i, here, hoff, i ^ t.strings[term, 1], real, imag,
                scratch, source, t.string_factor, term,
            )  # fmt: skip
    base = 2 * width * t.sample_rows
    runs = len(t.run_start) - 1
    for op in range(len(t.ops) - 1, -1, -1):
        kind = t.ops[op, 0]
        if kind == WEIGHT_GATE:
            run = t.ops[op, 2]
            angle_lanes.spread(scratch, matrix, wc, runs_place(t, width) + 13 * run, 4)
            lanes.gate_back(here, hoff, lam, lhere, size, t.ops[op, 1], scratch, matrix, scratch, acc)
            angle_lanes.add_sums(grad, 3 * run, scratch, acc, 3)
        elif kind == LANE_GATE:
            place = base + 4 * width * t.ops[op, 4]
            lanes.gate_back(here, hoff, lam, lhere, size, t.ops[op, 1], ws, place, scratch, acc)
            _back_through_parts(t, t.ops[op, 2], t.ops[op, 3], wc, ws, scratch, acc, rows, grad)
        elif kind == PERMUTE:
            lanes.unpermute(here, hoff, there, toff, size, t.permutations, t.ops[op, 1])
            lanes.unpermute(lam, lhere, lam, lthere, size, t.permutations, t.ops[op, 1])
            here, hoff, there, toff = there, toff, here, hoff
            lhere, lthere = lthere, lhere
        elif kind == SIGNS:
            lanes.scale(here, hoff, size, t.signs, t.ops[op, 1])
            lanes.scale(lam, lhere, size, t.signs, t.ops[op, 1])
        elif kind == PAULI:
            px, pz, ys, by_sample, row = t.ops[op, 1], t.ops[op, 2], t.ops[op, 3], t.ops[op, 4], t.ops[op, 5]
            spread_rotation(t, by_sample, row, wc, ws, scratch, matrix)
            for lane in range(width):
                scratch[acc + lane] = 0
                scratch[acc + width + lane] = 1
            for i in range(size):
                real, imag = pauli_phase(i, pz, ys)
                # Im(conj(lam) p psi) = Re(conj(lam) (-i p) psi)
                lanes.overlap(
                    lam, lhere, i, here, hoff, i ^ px, imag, -real, scratch, acc, scratch, acc + width
                )  # fmt: skip
            if by_sample:
                angle_lanes.add_row(scratch, rows + row * width, scratch, acc)
            else:
                angle_lanes.add_sums(grad, 3 * runs + row, scratch, acc, 1)
            pauli(here, hoff, size, px, pz, ys, scratch, matrix, -1)
            pauli(lam, lhere, size, px, pz, ys, scratch, matrix, -1)
    if t.preparation == PRODUCT:
        _back_through_product(t, wc, ws, here, hoff, lam, lhere, scratch, acc, rows, grad)
    elif t.preparation == AMPLITUDES:
        _back_to_amplitudes(t, x, k, begin, here, hoff, lam, lhere, gx)
    weights = 3 * runs + t.weight_rows
    for r in range(t.sample_rows):
        for term in range(t.term_start[r], t.term_start[r + 1]):
            low, high = t.symbol_start[term], t.symbol_start[term + 1]
            if high - low == 1 and t.symbols[low] < t.n_inputs:  # what nearly all of them are
                for lane in range(count):
                    gx[k, begin + lane, t.symbols[low]] += (
                        t.term_factor[term] * scratch[rows + r * width + lane]
                    )
                continue
            for s in range(low, high):
                symbol = t.symbols[s]
                for lane in range(count):
                    value = t.term_factor[term] * scratch[rows + r * width + lane]
                    for other in range(low, high):
                        if other != s:
                            number = t.symbols[other]
                            if number < t.n_inputs:
                                value *= x[k, begin + lane, number]
                            else:
                                value *= w[k, number - t.n_inputs]
                    if symbol < t.n_inputs:
                        gx[k, begin + lane, symbol] += value
                    else:
                        grad[weights + symbol - t.n_inputs] += value


@compiled
def _back_to_amplitudes(t, x, k, begin, psi, off, lam, loff, gx):
    """d<O>/dx = (2 Re lam - 2 <O> psi) / |x|, with psi real and <O> = Re <psi|lam>."""
    width = angle_lanes.lanes_of(psi)
    size = 1 << t.qubits
    for lane in range(min(width, x.shape[1] - begin)):
        norm, value = x.dtype.type(0), x.dtype.type(0)
        for i in range(size):
            place = 2 * width * i + lane
            norm += x[k, begin + lane, i] * x[k, begin + lane, i]
            value += psi[off + place] * lam[loff + place]
        norm = 2 / math.sqrt(norm)
        for i in range(size):
            place = 2 * width * i + lane
            gx[k, begin + lane, i] += norm * (lam[loff + place] - value * psi[off + place])


@compiled
def finish_client(t, w, k, wc, grads, gw):
    """Sums the tiles of a client in order and carries the sums on to its weights."""
    width = angle_lanes.lanes_of(wc)
    runs = len(t.run_start) - 1
    total = grads[0]
    for tile in range(1, len(grads)):
        for place in range(grads.shape[1]):
            total[place] += grads[tile, place]
    for run in range(runs):
        g = kernel_views.stretch(total, 3 * run, 3 * run + 3)
        for e in range(t.run_start[run + 1] - 1, t.run_start[run] - 1, -1):
            axis, row = t.weight_axis[e], t.weight_row[e]
            total[3 * runs + row] += g[axis]
            place = cosine_place(width, row)
            half_c, half_s = wc[place], wc[place + width]
            c, s = half_c * half_c - half_s * half_s, 2 * half_c * half_s
            one, two = (axis + 1) % 3, (axis + 2) % 3
            a, b = g[one], g[two]
            g[one], g[two] = c * a + s * b, c * b - s * a
    for weight in range(t.n_weights):
        gw[k, weight] = total[3 * runs + t.weight_rows + weight]
    for r in range(t.weight_rows):
        slope = total[3 * runs + r]
        full = t.sample_rows + r
        for term in range(t.term_start[full], t.term_start[full + 1]):
            low, high = t.symbol_start[term], t.symbol_start[term + 1]
            for s in range(low, high):
                value = t.term_factor[term] * slope
                for other in range(low, high):
                    if other != s:
                        value *= w[k, t.symbols[other] - t.n_inputs]
                gw[k, t.symbols[s] - t.n_inputs] += value

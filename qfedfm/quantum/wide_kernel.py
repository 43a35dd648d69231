"""The compiled steps of one wide state, each over a range of parts of it.

Parts do not depend on the number of threads, and sums are taken by part: so the bits do not depend on it
either. Layout as in :mod:`qfedfm.quantum.wide_lanes`.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

import math

from qfedfm.core.compiled import cached, compiled, digest
from qfedfm.quantum import angle_lanes, kernel_forward, kernel_views, lanes, vector_code, wide_lanes
from qfedfm.quantum.kernel_forward import _parity, pauli_phase

#: Rows of lanes that are worked on with all gates of a step while they are in the cache.
TILE = 8


@compiled
def place(index, width):
    """Where the real part of an amplitude stands; the imaginary part stands ``width`` further."""
    return (index // width) * 2 * width + index % width


def _cached_calls(version: int):
    @cached
    def forward_gates(psi, begin, end, parts, chunk, bits, qs):
        """All gates of a step whose bits lie inside chunks, or all whose bits lie above them."""
        version  # noqa: B018  (numba finds what it compiled by the values a function closes over)
        psi, qs = kernel_views.borrowed(psi), kernel_views.borrowed(qs)
        width = angle_lanes.lanes_of(psi)
        rows = len(psi) // (2 * width * chunk)
        if bits[0] < chunk * width:
            for c in range(begin * rows // parts, end * rows // parts):
                off = 2 * width * chunk * c
                for g in range(len(bits)):
                    if bits[g] < width:
                        wide_lanes.gate_lane(psi, off, chunk, bits[g], qs, 4 * width * g)
                    else:
                        lanes.gate(psi, off, chunk, bits[g] // width, qs, 4 * width * g)
            return
        columns = chunk // TILE
        for column in range(begin * columns // parts, end * columns // parts):
            for g in range(len(bits)):
                stride = bits[g] // (width * chunk)
                for row in range(rows):
                    if row & stride == 0:
                        a = 2 * width * (row * chunk + column * TILE)
                        b = a + 2 * width * stride * chunk
                        wide_lanes.gate_between(psi, a, b, TILE, qs, 4 * width * g)

    @cached
    def backward_gates(psi, lam, begin, end, parts, chunk, bits, qs, acc):
        """Takes the gates back, last first; ``acc (parts, gates, 3, lanes)`` gets the derivatives."""
        version  # noqa: B018
        psi, lam = kernel_views.borrowed(psi), kernel_views.borrowed(lam)
        qs, acc = kernel_views.borrowed(qs), kernel_views.borrowed(acc)
        width = angle_lanes.lanes_of(psi)
        rows = len(psi) // (2 * width * chunk)
        inside = bits[0] < chunk * width
        units = rows if inside else chunk // TILE
        for part in range(begin, end):
            for unit in range(part * units // parts, (part + 1) * units // parts):
                for g in range(len(bits) - 1, -1, -1):
                    to = 3 * width * (part * len(bits) + g)
                    if inside and bits[g] < width:
                        off = 2 * width * chunk * unit
                        wide_lanes.gate_lane_back(
                            psi, lam, off, chunk, bits[g], qs, 4 * width * g, acc, to
                        )  # fmt: skip
                        continue
                    count = TILE
                    stride, first, last, step = bits[g] // (width * chunk), 0, rows, chunk
                    origin = unit * TILE
                    if inside:
                        count, step = bits[g] // width, 1
                        stride, first, last = count, 0, chunk
                        origin = unit * chunk
                    jump = 1 if not inside else count
                    for row in range(first, last, jump):
                        if row & stride == 0:
                            a = 2 * width * (origin + row * step)
                            b = a + 2 * width * stride * step
                            wide_lanes.gate_between_back(
                                psi, lam, a, b, count, qs, 4 * width * g, acc, to
                            )  # fmt: skip

    @cached
    def permute(src, dst, begin, end, parts, low, high):
        """``dst[i] = src[low[i & m] ^ high[i >> s]]``."""
        version  # noqa: B018
        width = angle_lanes.lanes_of(src)
        for top in range(begin * len(high) // parts, end * len(high) // parts):
            first = top * len(low)
            for bottom in range(len(low)):
                source, target = place(high[top] ^ low[bottom], width), place(first + bottom, width)
                dst[target] = src[source]
                dst[target + width] = src[source + width]

    @cached
    def exchange(psi, begin, end, parts, need, value, flip):
        """Exchanges ``i`` and ``i ^ flip`` where ``i & need == value``; negates ``i`` if ``flip`` is 0."""
        version  # noqa: B018
        width = angle_lanes.lanes_of(psi)
        size = len(psi) // 2
        for i in range(begin * size // parts, end * size // parts):
            if i & need == value:
                a, b = place(i, width), place(i ^ flip, width)
                if flip == 0:
                    psi[a], psi[a + width] = -psi[a], -psi[a + width]
                else:
                    psi[a], psi[b] = psi[b], psi[a]
                    psi[a + width], psi[b + width] = psi[b + width], psi[a + width]

    @cached
    def rotate(psi, begin, end, parts, x, z, ys, c, s):
        """``psi = c psi - i s P psi`` for a Pauli string P."""
        version  # noqa: B018
        width = angle_lanes.lanes_of(psi)
        size = len(psi) // 2
        high = x
        while high & (high - 1):
            high &= high - 1
        for i in range(begin * size // parts, end * size // parts):
            if i & high:
                continue
            real, imag = pauli_phase(i, z, ys)
            er, ei = s * imag, -s * real  # -i s phase
            a = place(i, width)
            ar, ai = psi[a], psi[a + width]
            if x == 0:
                psi[a], psi[a + width] = c * ar - ei * ai, c * ai + ei * ar
                continue
            b = place(i ^ x, width)
            br, bi = psi[b], psi[b + width]
            psi[a] = c * ar + er * br - ei * bi
            psi[a + width] = c * ai + er * bi + ei * br
            psi[b] = c * br - er * ar - ei * ai
            psi[b + width] = c * bi - er * ai + ei * ar

    @cached
    def overlap(lam, psi, begin, end, parts, x, z, ys, out):
        """``out[part] += <lam|P|psi>``, real and imaginary part, for a Pauli string P."""
        version  # noqa: B018
        width = angle_lanes.lanes_of(psi)
        size = len(psi) // 2
        for part in range(begin, end):
            total_r, total_i = 0.0, 0.0
            for i in range(part * size // parts, (part + 1) * size // parts):
                real, imag = pauli_phase(i, z, ys)
                a, b = place(i, width), place(i ^ x, width)
                pr = real * psi[b] - imag * psi[b + width]
                pi = real * psi[b + width] + imag * psi[b]
                total_r += lam[a] * pr + lam[a + width] * pi
                total_i += lam[a] * pi - lam[a + width] * pr
            out[part, 0] += total_r
            out[part, 1] += total_i

    @cached
    def add_string(lam, psi, begin, end, parts, x, z, ys, factor):
        """``lam += factor P psi``."""
        version  # noqa: B018
        width = angle_lanes.lanes_of(psi)
        size = len(psi) // 2
        for i in range(begin * size // parts, end * size // parts):
            real, imag = pauli_phase(i, z, ys)
            a, b = place(i, width), place(i ^ x, width)
            lam[a] += factor * (real * psi[b] - imag * psi[b + width])
            lam[a + width] += factor * (real * psi[b + width] + imag * psi[b])

    @cached
    def measure(psi, begin, end, parts, masks, out):
        """``out[part, t] += <Z string t>``: a Walsh transform of each row gives all strings on the lanes."""
        version  # noqa: B018
        width = angle_lanes.lanes_of(psi)
        blocks = len(psi) // (2 * width)
        row = psi[:width].copy()
        for part in range(begin, end):
            for block in range(part * blocks // parts, (part + 1) * blocks // parts):
                off = 2 * width * block
                for lane in range(width):
                    row[lane] = psi[off + lane] ** 2 + psi[off + width + lane] ** 2
                _walsh(row, width)
                for t in range(len(masks)):
                    sign = 1 - 2 * _parity(block & (masks[t] // width))
                    out[part, t] += sign * row[masks[t] % width]

    @cached
    def measure_back(psi, lam, begin, end, parts, masks, factors):
        """``lam = sum_t factors[t] (Z string t) psi``."""
        version  # noqa: B018
        width = angle_lanes.lanes_of(psi)
        blocks = len(psi) // (2 * width)
        row = psi[:width].copy()
        for block in range(begin * blocks // parts, end * blocks // parts):
            off = 2 * width * block
            row[:] = 0
            for t in range(len(masks)):
                sign = 1 - 2 * _parity(block & (masks[t] // width))
                row[masks[t] % width] += sign * factors[t]
            _walsh(row, width)
            for lane in range(width):
                lam[off + lane] = row[lane] * psi[off + lane]
                lam[off + width + lane] = row[lane] * psi[off + width + lane]

    return (
        forward_gates, backward_gates, permute, exchange, rotate, overlap, add_string, measure, measure_back
    )  # fmt: skip


@compiled
def _walsh(row, width):
    step = 1
    while step < width:
        for i in range(width):
            if i & step == 0:
                a, b = row[i], row[i + step]
                row[i], row[i + step] = a + b, a - b
        step *= 2


_SOURCES = (angle_lanes, kernel_forward, kernel_views, lanes, vector_code, wide_lanes)
(
    forward_gates, backward_gates, permute, exchange, rotate, overlap, add_string, measure, measure_back
) = _cached_calls(
    digest(*(module.__file__ for module in _SOURCES), __file__)
)  # fmt: skip


def quaternion(axes: list[int], angles: list[float]) -> tuple[float, float, float, float]:
    """Returns the quaternion of rotations about axes 0, 1, 2 (X, Y, Z), the first of them acting first."""
    q = [1.0, 0.0, 0.0, 0.0]
    for axis, angle in zip(axes, angles, strict=True):
        c, s = math.cos(angle / 2), math.sin(angle / 2)
        a, b, d = axis + 1, (axis + 1) % 3 + 1, (axis + 2) % 3 + 1
        old = list(q)
        q[0], q[a] = c * old[0] - s * old[a], c * old[a] + s * old[0]
        q[b], q[d] = c * old[b] - s * old[d], c * old[d] + s * old[b]
    return q[0], q[1], q[2], q[3]

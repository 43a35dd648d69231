"""Lanes of angles: cosines and sines, gates from them, and sums of their gradients.

As in :mod:`qfedfm.quantum.lanes`, an argument pair ``(array, offset)`` names a place in a flat array, ``q``
one with the four rows of a gate's quaternion.
"""

# Vector code reads best in the order of its formulas.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, misc, untyped-decorator"

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from qfedfm.quantum.vector_code import I64, emit, lane_count, signature

# cos and sin on [-pi/4, pi/4]: S. Moshier's cephes (float32) and Sun's fdlibm (float64).
_SINE = {
    16: (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1),
    8: (
        1.58969099521155010221e-10, -2.50507602534068634195e-08, 2.75573137070700676789e-06,
        -1.98412698298579493134e-04, 8.33333333332248946124e-03, -1.66666666666666324348e-01,
    ),
}  # fmt: skip
_COSINE = {
    16: (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2),
    8: (
        -1.13596475577881948265e-11, 2.08757232129817482790e-09, -2.75573143513906633035e-07,
        2.48015872894767294178e-05, -1.38888888888741095749e-03, 4.16666666666666019037e-02,
    ),
}  # fmt: skip
# pi/2 in three pieces, short enough that their products with a count of quarter turns are exact.
_QUARTER = {
    16: (1.5703125, 4.837512969970703125e-4, 7.54978995489188216e-8),
    8: (1.57079632673412561417, 6.07710050630396597660e-11, 2.02226624871116645580e-21),
}


@intrinsic
def sincos(typingctx, rows, off, count):
    """Replaces rows 2 k (angles, radians) by cosines and writes the sines to rows 2 k + 1."""

    def body(e, rows, off, count):
        b = e.builder
        bits = ir.VectorType(ir.IntType(32 if e.lanes == 16 else 64), e.lanes)

        def number(value):
            return ir.Constant(e.vector, [value] * e.lanes)

        def whole(value):
            return ir.Constant(bits, [value] * e.lanes)

        def polynomial(factors, z):
            total = number(factors[0])
            for factor in factors[1:]:
                total = e.fma(total, z, number(factor))
            return total

        name = f"llvm.rint.v{e.lanes}f{8 * e.alignment}"
        rint = cgutils.get_or_insert_function(b.module, ir.FunctionType(e.vector, [e.vector]), name)

        def one(k):
            row = b.shl(k, e.i64(1))
            angle = e.load(rows, off, row)
            turns = b.call(rint, [b.fmul(angle, number(0.63661977236758134308))])
            r = angle
            for piece in _QUARTER[e.lanes]:
                r = e.fma(e.neg(turns), number(piece), r)
            z = b.fmul(r, r)
            sine = e.fma(b.fmul(polynomial(_SINE[e.lanes], z), z), r, r)
            cosine = e.fma(polynomial(_COSINE[e.lanes], z), b.fmul(z, z), e.fma(number(-0.5), z, number(1.0)))
            quadrant = b.fptosi(turns, bits)
            odd = b.icmp_signed("!=", b.and_(quadrant, whole(1)), whole(0))
            swapped = b.select(odd, cosine, sine), b.select(odd, sine, cosine)
            low = b.icmp_signed("!=", b.and_(quadrant, whole(2)), whole(0))
            high = b.icmp_signed("!=", b.and_(b.add(quadrant, whole(1)), whole(2)), whole(0))
            e.store(b.select(high, e.neg(swapped[1]), swapped[1]), rows, off, row)
            e.store(b.select(low, e.neg(swapped[0]), swapped[0]), rows, off, b.add(row, e.i64(1)))

        e.loop(count, one)

    return signature(rows, off, count), emit(body)


@intrinsic
def spin(typingctx, q, qoff, a, b, c, cs, coff):
    """``q`` becomes "q, then a rotation about axis a" with (a, b, c) cyclic in 1, 2, 3; half angles."""

    def body(e, q, qoff, a, b, c, cs, coff):
        cos, sin = e.load(cs, coff, 0), e.load(cs, coff, 1)
        q0, qa, qb, qc = (e.load(q, qoff, row) for row in (e.i64(0), a, b, c))
        minus = e.neg(sin)
        e.store(e.dot((cos, q0), (minus, qa)), q, qoff, e.i64(0))
        e.store(e.dot((cos, qa), (sin, q0)), q, qoff, a)
        e.store(e.dot((cos, qb), (minus, qc)), q, qoff, b)
        e.store(e.dot((cos, qc), (sin, qb)), q, qoff, c)

    return signature(q, qoff, a, b, c, cs, coff), emit(body)


@intrinsic
def turn(typingctx, q, qoff, p, poff):
    """``q`` becomes "q, then p", where ``p`` is one quaternion for all lanes."""

    def body(e, q, qoff, p, poff):
        q0, q1, q2, q3 = e.quaternion(q, qoff)
        p0, p1, p2, p3 = (e.spread(e.scalar(p, e.builder.add(poff, e.i64(k)))) for k in range(4))
        n1, n2, n3 = e.neg(p1), e.neg(p2), e.neg(p3)
        e.store(e.dot((p0, q0), (n1, q1), (n2, q2), (n3, q3)), q, qoff, 0)
        e.store(e.dot((p0, q1), (p1, q0), (p2, q3), (n3, q2)), q, qoff, 1)
        e.store(e.dot((p0, q2), (n1, q3), (p2, q0), (p3, q1)), q, qoff, 2)
        e.store(e.dot((p0, q3), (p1, q2), (n2, q1), (p3, q0)), q, qoff, 3)

    return signature(q, qoff, p, poff), emit(body)


@intrinsic
def unspin(typingctx, g, goff, one, two, cs, coff):
    """Turns rows ``one`` and ``two`` of a vector back by the full angle (``cs`` holds the half)."""

    def body(e, g, goff, one, two, cs, coff):
        c, s = e.load(cs, coff, 0), e.load(cs, coff, 1)
        cos = e.dot((c, c), (e.neg(s), s))
        sin = e.builder.fmul(e.builder.fadd(c, c), s)
        a, b = e.load(g, goff, one), e.load(g, goff, two)
        e.store(e.dot((cos, a), (sin, b)), g, goff, one)
        e.store(e.dot((cos, b), (e.neg(sin), a)), g, goff, two)

    return signature(g, goff, one, two, cs, coff), emit(body)


@intrinsic
def unturn(typingctx, g, goff, m, moff):
    """Multiplies a vector by the transpose of a 3x3 matrix that is the same for all lanes."""

    def body(e, g, goff, m, moff):
        old = [e.load(g, goff, row) for row in range(3)]
        for column in range(3):
            factors = [
                e.spread(e.scalar(m, e.builder.add(moff, e.i64(3 * row + column)))) for row in range(3)
            ]
            e.store(e.dot(*zip(factors, old, strict=True)), g, goff, column)

    return signature(g, goff, m, moff), emit(body)


@intrinsic
def spread(typingctx, dst, doff, src, soff, count):
    """Writes ``count`` rows of lanes, each full of one number."""

    def body(e, dst, doff, src, soff, count):
        e.loop(count, lambda k: e.store(e.spread(e.scalar(src, e.builder.add(soff, k))), dst, doff, k))

    return signature(dst, doff, src, soff, count), emit(body)


@intrinsic
def add_row(typingctx, dst, doff, src, soff):
    """Adds one row of lanes to another."""

    def body(e, dst, doff, src, soff):
        e.store(e.builder.fadd(e.load(dst, doff), e.load(src, soff)), dst, doff)

    return signature(dst, doff, src, soff), emit(body)


@intrinsic
def add_sums(typingctx, dst, doff, src, soff, count):
    """Adds the sums over lanes of ``count`` rows to ``count`` numbers, always in the same order."""

    def body(e, dst, doff, src, soff, count):
        b = e.builder

        def one(k):
            row, width = e.load(src, soff, k), e.lanes
            while width > 1:
                width //= 2
                mask = ir.VectorType(ir.IntType(32), width)
                halves = [
                    b.shuffle_vector(row, row, ir.Constant(mask, list(range(start, start + width))))
                    for start in (0, width)
                ]
                row = b.fadd(*halves)
            total = b.extract_element(row, ir.Constant(ir.IntType(32), 0))
            place = b.gep(dst, [b.add(doff, k)])
            b.store(b.fadd(b.load(place), total), place)

        e.loop(count, one)

    return signature(dst, doff, src, soff, count), emit(body)


@intrinsic
def lanes_of(typingctx, array):
    """The number of lanes for an array's element type, a constant."""
    count = lane_count(array.dtype)

    def codegen(context, builder, signature, arguments):
        return ir.Constant(I64, count)

    return types.int64(array), codegen

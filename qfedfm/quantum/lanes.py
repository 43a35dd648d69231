"""The inner loops of the compiled executor, written as vector instructions.

A state is an array ``[2**n][re, im][lanes]``; a lane is a sample, and a row of lanes is one vector
register (16 float32 or 8 float64). Each function below becomes a loop over amplitudes in which every
operation works on all lanes at once. Numba would have to prove that its arrays do not overlap before
it could do the same with a plain loop over lanes, and it cannot; so the vectors are spelled out.

Every argument pair ``(array, offset)`` names a place in a flat array, counted in numbers. ``q`` is a
place with four rows of lanes: the quaternion ``(w, x, y, z)`` of a gate ``w - i (x X + y Y + z Z)``.
"""

# Vector code reads best in the order of its formulas.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, misc, untyped-decorator"

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_I64 = ir.IntType(64)


def lane_count(dtype: types.Type) -> int:
    """Returns how many samples stand side by side: 64 bytes of them."""
    return 16 if dtype == types.float32 else 8


class _Emitter:
    """Emits vector instructions for one element type."""

    def __init__(self, context: Any, builder: Any, dtype: types.Type) -> None:
        self.context, self.builder = context, builder
        self.lanes = lane_count(dtype)
        self.element = ir.FloatType() if dtype == types.float32 else ir.DoubleType()
        self.vector = ir.VectorType(self.element, self.lanes)
        self.alignment = 4 if dtype == types.float32 else 8
        name = f"llvm.fmuladd.v{self.lanes}f{8 * self.alignment}"
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        self._fma = cgutils.get_or_insert_function(builder.module, kind, name)

    def data(self, array_type: Any, value: Any) -> Any:
        return self.context.make_array(array_type)(self.context, self.builder, value).data

    def i64(self, value: int) -> Any:
        return ir.Constant(_I64, value)

    def place(self, data: Any, offset: Any, row: Any = 0) -> Any:
        """Pointer to a row of lanes: ``offset`` numbers, then ``row`` rows further."""
        if not isinstance(row, int):
            offset = self.builder.add(offset, self.builder.mul(row, self.i64(self.lanes)))
        elif row:
            offset = self.builder.add(offset, self.i64(row * self.lanes))
        pointer = self.builder.gep(data, [offset])
        return self.builder.bitcast(pointer, self.vector.as_pointer())

    def load(self, data: Any, offset: Any, row: Any = 0) -> Any:
        return self.builder.load(self.place(data, offset, row), align=self.alignment)

    def store(self, value: Any, data: Any, offset: Any, row: Any = 0) -> None:
        self.builder.store(value, self.place(data, offset, row), align=self.alignment)

    def amplitude(self, data: Any, offset: Any, index: Any) -> tuple[Any, Any]:
        """Real and imaginary lanes of amplitude ``index``."""
        row = self.builder.shl(index, self.i64(1))
        return self.load(data, offset, row), self.load(data, offset, self.builder.add(row, self.i64(1)))

    def put(self, value: tuple[Any, Any], data: Any, offset: Any, index: Any) -> None:
        row = self.builder.shl(index, self.i64(1))
        self.store(value[0], data, offset, row)
        self.store(value[1], data, offset, self.builder.add(row, self.i64(1)))

    def spread(self, scalar: Any) -> Any:
        """The same number in every lane."""
        one = self.builder.insert_element(
            ir.Constant(self.vector, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0)
        )
        mask = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(one, ir.Constant(self.vector, ir.Undefined), mask)

    def scalar(self, data: Any, index: Any) -> Any:
        return self.builder.load(self.builder.gep(data, [index]))

    def zero(self) -> Any:
        return ir.Constant(self.vector, [0.0] * self.lanes)

    def variable(self, value: Any) -> Any:
        pointer = cgutils.alloca_once(self.builder, self.vector)
        self.builder.store(value, pointer)
        return pointer

    def neg(self, a: Any) -> Any:
        return self.builder.fneg(a)

    def dot(self, *pairs: tuple[Any, Any]) -> Any:
        """The sum of products."""
        total = self.builder.fmul(*pairs[0])
        for a, b in pairs[1:]:
            total = self.builder.call(self._fma, [a, b, total])
        return total

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        return self.builder.call(self._fma, [a, b, c])

    def gather(self, pointer: Any, *pairs: tuple[Any, Any]) -> None:
        """Adds products to a variable."""
        total = self.builder.load(pointer)
        for a, b in pairs:
            total = self.fma(a, b, total)
        self.builder.store(total, pointer)

    def loop(self, count: Any, body: Callable[[Any], None]) -> None:
        with cgutils.for_range(self.builder, count, intp=_I64) as loop:
            body(loop.index)

    def pairs(self, size: Any, stride: Any, body: Callable[[Any, Any], None]) -> None:
        """Calls ``body(i, i + stride)`` for every ``i`` with the bit ``stride`` unset."""
        b = self.builder
        step = b.shl(stride, self.i64(1))
        with (
            cgutils.for_range_slice(b, self.i64(0), size, step, _I64) as (high, _),
            cgutils.for_range(b, stride, intp=_I64) as low,
        ):
            first = b.add(high, low.index)
            body(first, b.add(first, stride))

    def quaternion(self, data: Any, offset: Any) -> list[Any]:
        return [self.load(data, offset, row) for row in range(4)]

    def rotate(self, q: list[Any], s0: tuple[Any, Any], s1: tuple[Any, Any], inverse: bool) -> Any:
        """The gate, or its inverse, on one pair of amplitudes."""
        w, x, y, z = q
        nx, ny, nz = self.neg(x), self.neg(y), self.neg(z)
        if inverse:
            x, y, z, nx, ny, nz = nx, ny, nz, x, y, z
        (ar, ai), (br, bi) = s0, s1
        return (
            (self.dot((w, ar), (z, ai), (ny, br), (x, bi)), self.dot((w, ai), (nz, ar), (ny, bi), (nx, br))),
            (self.dot((y, ar), (x, ai), (w, br), (nz, bi)), self.dot((y, ai), (nx, ar), (w, bi), (z, br))),
        )


def _emit(body: Callable[..., None]) -> Callable[..., Any]:
    """Makes a code generator out of ``body(emitter, *arguments)`` with data pointers for arrays."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emitter = _Emitter(context, builder, signature.args[0].dtype)
        ready = [
            emitter.data(kind, value) if isinstance(kind, types.Array) else value
            for kind, value in zip(signature.args, arguments, strict=True)
        ]
        body(emitter, *ready)
        return context.get_dummy_value()

    return codegen


def _signature(*arguments: Any) -> Any:
    return types.void(*(a if isinstance(a, types.Array) else types.int64 for a in arguments))


@intrinsic
def gate(typingctx, psi, off, size, stride, q, qoff):
    """Applies a gate to ``size`` amplitudes; its qubit is the bit ``stride`` of the index."""

    def body(e, psi, off, size, stride, q, qoff):
        matrix = e.quaternion(q, qoff)

        def pair(i, j):
            new = e.rotate(matrix, e.amplitude(psi, off, i), e.amplitude(psi, off, j), False)
            e.put(new[0], psi, off, i)
            e.put(new[1], psi, off, j)

        e.pairs(size, stride, pair)

    return _signature(psi, off, size, stride, q, qoff), _emit(body)


@intrinsic
def gate_back(typingctx, psi, off, lam, loff, size, stride, q, qoff, acc, aoff):
    """Takes a gate back on state and co-state; writes ``Im <lam|P|psi>`` for P = X, Y, Z to ``acc``."""

    def body(e, psi, off, lam, loff, size, stride, q, qoff, acc, aoff):
        matrix = e.quaternion(q, qoff)
        sums = [e.variable(e.zero()) for _ in range(3)]

        def pair(i, j):
            p0, p1 = e.amplitude(psi, off, i), e.amplitude(psi, off, j)
            l0, l1 = e.amplitude(lam, loff, i), e.amplitude(lam, loff, j)
            n0, n1 = [e.neg(part) for part in l0], [e.neg(part) for part in l1]
            e.gather(sums[0], (l0[0], p1[1]), (n0[1], p1[0]), (l1[0], p0[1]), (n1[1], p0[0]))
            e.gather(sums[1], (n0[0], p1[0]), (n0[1], p1[1]), (l1[0], p0[0]), (l1[1], p0[1]))
            e.gather(sums[2], (l0[0], p0[1]), (n0[1], p0[0]), (n1[0], p1[1]), (l1[1], p1[0]))
            for data, offset, s0, s1 in ((psi, off, p0, p1), (lam, loff, l0, l1)):
                new = e.rotate(matrix, s0, s1, True)
                e.put(new[0], data, offset, i)
                e.put(new[1], data, offset, j)

        e.pairs(size, stride, pair)
        for row, total in enumerate(sums):
            e.store(e.builder.load(total), acc, aoff, row)

    return _signature(psi, off, lam, loff, size, stride, q, qoff, acc, aoff), _emit(body)


@intrinsic
def double(typingctx, src, soff, count, q, qoff, dst, doff):
    """Appends a qubit in state ``q |0>``: ``dst[2 i + a] = src[i] column[a]``."""

    def body(e, src, soff, count, q, qoff, dst, doff):
        w, x, y, z = e.quaternion(q, qoff)
        nx = e.neg(x)

        def one(i):
            r, m = e.amplitude(src, soff, i)
            nm, first = e.neg(m), e.builder.shl(i, e.i64(1))
            e.put((e.dot((r, w), (m, z)), e.dot((m, w), (e.neg(r), z))), dst, doff, first)
            second = e.builder.add(first, e.i64(1))
            e.put((e.dot((r, y), (nm, nx)), e.dot((m, y), (r, nx))), dst, doff, second)

        e.loop(count, one)

    return _signature(src, soff, count, q, qoff, dst, doff), _emit(body)


@intrinsic
def contract(typingctx, lam, loff, src, soff, count, q, qoff, acc, aoff):
    """Takes :func:`double` back: shrinks ``lam`` in place, writes ``t[a] = sum conj(lam[2i+a]) src[i]``."""

    def body(e, lam, loff, src, soff, count, q, qoff, acc, aoff):
        w, x, y, z = e.quaternion(q, qoff)
        nx, nz = e.neg(x), e.neg(z)
        sums = [e.variable(e.zero()) for _ in range(4)]

        def one(i):
            sr, si = e.amplitude(src, soff, i)
            first = e.builder.shl(i, e.i64(1))
            l0 = e.amplitude(lam, loff, first)
            l1 = e.amplitude(lam, loff, e.builder.add(first, e.i64(1)))
            for k, (lr, li) in enumerate((l0, l1)):
                e.gather(sums[2 * k], (lr, sr), (li, si))
                e.gather(sums[2 * k + 1], (lr, si), (e.neg(li), sr))
            # conj(c0) l0 + conj(c1) l1 with c0 = w - i z, c1 = y - i x
            real = e.dot((w, l0[0]), (nz, l0[1]), (y, l1[0]), (nx, l1[1]))
            imag = e.dot((w, l0[1]), (z, l0[0]), (y, l1[1]), (x, l1[0]))
            e.put((real, imag), lam, loff, i)

        e.loop(count, one)
        for row, total in enumerate(sums):
            e.store(e.builder.load(total), acc, aoff, row)

    return _signature(lam, loff, src, soff, count, q, qoff, acc, aoff), _emit(body)


@intrinsic
def permute(typingctx, src, soff, dst, doff, size, table, toff):
    """``dst[i] = src[table[i]]``."""

    def body(e, src, soff, dst, doff, size, table, toff):
        def one(i):
            index = e.builder.zext(e.scalar(table, e.builder.add(toff, i)), _I64)
            e.put(e.amplitude(src, soff, index), dst, doff, i)

        e.loop(size, one)

    return _signature(src, soff, dst, doff, size, table, toff), _emit(body)


@intrinsic
def unpermute(typingctx, src, soff, dst, doff, size, table, toff):
    """``dst[table[i]] = src[i]``."""

    def body(e, src, soff, dst, doff, size, table, toff):
        def one(i):
            index = e.builder.zext(e.scalar(table, e.builder.add(toff, i)), _I64)
            e.put(e.amplitude(src, soff, i), dst, doff, index)

        e.loop(size, one)

    return _signature(src, soff, dst, doff, size, table, toff), _emit(body)


@intrinsic
def scale(typingctx, psi, off, size, factors, foff):
    """``psi[i] *= factors[i]`` with one real factor for all lanes."""

    def body(e, psi, off, size, factors, foff):
        def one(i):
            factor = e.spread(e.scalar(factors, e.builder.add(foff, i)))
            r, m = e.amplitude(psi, off, i)
            e.put((e.builder.fmul(r, factor), e.builder.fmul(m, factor)), psi, off, i)

        e.loop(size, one)

    return _signature(psi, off, size, factors, foff), _emit(body)


@intrinsic
def measure(typingctx, psi, off, size, diagonals, count, out, ooff):
    """``out[o] += sum_i diagonals[i, o] |psi[i]|**2``."""

    def body(e, psi, off, size, diagonals, count, out, ooff):
        def one(i):
            r, m = e.amplitude(psi, off, i)
            probability = e.dot((r, r), (m, m))
            row = e.builder.mul(i, count)

            def observable(o):
                factor = e.spread(e.scalar(diagonals, e.builder.add(row, o)))
                e.store(e.fma(factor, probability, e.load(out, ooff, o)), out, ooff, o)

            e.loop(count, observable)

        e.loop(size, one)

    return _signature(psi, off, size, diagonals, count, out, ooff), _emit(body)


@intrinsic
def measure_back(typingctx, psi, off, size, diagonals, count, grad, goff, lam, loff):
    """``lam[i] = sum_o grad[o] diagonals[i, o] psi[i]``."""

    def body(e, psi, off, size, diagonals, count, grad, goff, lam, loff):
        total = e.variable(e.zero())

        def one(i):
            e.builder.store(e.zero(), total)
            row = e.builder.mul(i, count)

            def observable(o):
                factor = e.spread(e.scalar(diagonals, e.builder.add(row, o)))
                e.gather(total, (factor, e.load(grad, goff, o)))

            e.loop(count, observable)
            factor = e.builder.load(total)
            r, m = e.amplitude(psi, off, i)
            e.put((e.builder.fmul(r, factor), e.builder.fmul(m, factor)), lam, loff, i)

        e.loop(size, one)

    return _signature(psi, off, size, diagonals, count, grad, goff, lam, loff), _emit(body)


def _complex_scalar(e: _Emitter, real: Any, imag: Any) -> list[Any]:
    return [e.spread(e.builder.sitofp(part, e.element)) for part in (real, imag)]


@intrinsic
def pair_rotation(typingctx, psi, off, i, j, cs, coff, er, ei):
    """``psi[i], psi[j] = c psi[i] + e s psi[j], c psi[j] - conj(e) s psi[i]``; e is one of 1, i, -1, -i."""

    def body(e, psi, off, i, j, cs, coff, er, ei):
        c, s = e.load(cs, coff, 0), e.load(cs, coff, 1)
        real, imag = (e.builder.fmul(part, s) for part in _complex_scalar(e, er, ei))
        (ar, ai), (br, bi) = e.amplitude(psi, off, i), e.amplitude(psi, off, j)
        nr, ni = e.neg(real), e.neg(imag)
        e.put((e.dot((c, ar), (real, br), (ni, bi)), e.dot((c, ai), (real, bi), (imag, br))), psi, off, i)
        e.put((e.dot((c, br), (nr, ar), (ni, ai)), e.dot((c, bi), (nr, ai), (imag, ar))), psi, off, j)

    return _signature(psi, off, i, j, cs, coff, er, ei), _emit(body)


@intrinsic
def phase(typingctx, psi, off, i, cs, coff, sign):
    """``psi[i] *= c - i sign s``."""

    def body(e, psi, off, i, cs, coff, sign):
        c = e.load(cs, coff, 0)
        s = e.builder.fmul(e.load(cs, coff, 1), e.spread(e.builder.sitofp(sign, e.element)))
        r, m = e.amplitude(psi, off, i)
        e.put((e.dot((c, r), (s, m)), e.dot((c, m), (e.neg(s), r))), psi, off, i)

    return _signature(psi, off, i, cs, coff, sign), _emit(body)


@intrinsic
def overlap(typingctx, lam, loff, i, psi, off, j, er, ei, out, ooff, factor, foff):
    """``out += Re(conj(lam[i]) e psi[j]) * factor`` with e = er + i ei."""

    def body(e, lam, loff, i, psi, off, j, er, ei, out, ooff, factor, foff):
        (lr, li), (pr, pi) = e.amplitude(lam, loff, i), e.amplitude(psi, off, j)
        real, imag = _complex_scalar(e, er, ei)
        inner = (e.dot((lr, pr), (li, pi)), e.dot((lr, pi), (e.neg(li), pr)))
        value = e.dot((real, inner[0]), (e.neg(imag), inner[1]))
        weight = e.spread(e.scalar(factor, foff))
        e.store(e.fma(value, weight, e.load(out, ooff)), out, ooff)

    return _signature(lam, loff, i, psi, off, j, er, ei, out, ooff, factor, foff), _emit(body)


@intrinsic
def add_product(typingctx, lam, loff, i, psi, off, j, er, ei, grad, goff, factor, foff):
    """``lam[i] += grad * factor * e psi[j]`` with e = er + i ei."""

    def body(e, lam, loff, i, psi, off, j, er, ei, grad, goff, factor, foff):
        weight = e.builder.fmul(e.load(grad, goff), e.spread(e.scalar(factor, foff)))
        real, imag = (e.builder.fmul(part, weight) for part in _complex_scalar(e, er, ei))
        (lr, li), (pr, pi) = e.amplitude(lam, loff, i), e.amplitude(psi, off, j)
        lr = e.fma(real, pr, e.fma(e.neg(imag), pi, lr))
        li = e.fma(real, pi, e.fma(imag, pr, li))
        e.put((lr, li), lam, loff, i)

    return _signature(lam, loff, i, psi, off, j, er, ei, grad, goff, factor, foff), _emit(body)


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

    return _signature(rows, off, count), _emit(body)


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

    return _signature(q, qoff, a, b, c, cs, coff), _emit(body)


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

    return _signature(q, qoff, p, poff), _emit(body)


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

    return _signature(g, goff, one, two, cs, coff), _emit(body)


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

    return _signature(g, goff, m, moff), _emit(body)


@intrinsic
def spread(typingctx, dst, doff, src, soff, count):
    """Writes ``count`` rows of lanes, each full of one number."""

    def body(e, dst, doff, src, soff, count):
        e.loop(count, lambda k: e.store(e.spread(e.scalar(src, e.builder.add(soff, k))), dst, doff, k))

    return _signature(dst, doff, src, soff, count), _emit(body)


@intrinsic
def add_row(typingctx, dst, doff, src, soff):
    """Adds one row of lanes to another."""

    def body(e, dst, doff, src, soff):
        e.store(e.builder.fadd(e.load(dst, doff), e.load(src, soff)), dst, doff)

    return _signature(dst, doff, src, soff), _emit(body)


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

    return _signature(dst, doff, src, soff, count), _emit(body)


@intrinsic
def lanes_of(typingctx, array):
    """The number of lanes for an array's element type, a constant."""
    count = lane_count(array.dtype)

    def codegen(context, builder, signature, arguments):
        return ir.Constant(_I64, count)

    return types.int64(array), codegen

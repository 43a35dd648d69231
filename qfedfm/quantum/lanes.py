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

from typing import Any

from numba.extending import intrinsic

from qfedfm.quantum.vector_code import I64, Emitter, emit, signature


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

    return signature(psi, off, size, stride, q, qoff), emit(body)


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

    return signature(psi, off, lam, loff, size, stride, q, qoff, acc, aoff), emit(body)


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

    return signature(src, soff, count, q, qoff, dst, doff), emit(body)


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

    return signature(lam, loff, src, soff, count, q, qoff, acc, aoff), emit(body)


@intrinsic
def permute(typingctx, src, soff, dst, doff, size, table, toff):
    """``dst[i] = src[table[i]]``."""

    def body(e, src, soff, dst, doff, size, table, toff):
        def one(i):
            index = e.builder.zext(e.scalar(table, e.builder.add(toff, i)), I64)
            e.put(e.amplitude(src, soff, index), dst, doff, i)

        e.loop(size, one)

    return signature(src, soff, dst, doff, size, table, toff), emit(body)


@intrinsic
def unpermute(typingctx, src, soff, dst, doff, size, table, toff):
    """``dst[table[i]] = src[i]``."""

    def body(e, src, soff, dst, doff, size, table, toff):
        def one(i):
            index = e.builder.zext(e.scalar(table, e.builder.add(toff, i)), I64)
            e.put(e.amplitude(src, soff, i), dst, doff, index)

        e.loop(size, one)

    return signature(src, soff, dst, doff, size, table, toff), emit(body)


@intrinsic
def scale(typingctx, psi, off, size, factors, foff):
    """``psi[i] *= factors[i]`` with one real factor for all lanes."""

    def body(e, psi, off, size, factors, foff):
        def one(i):
            factor = e.spread(e.scalar(factors, e.builder.add(foff, i)))
            r, m = e.amplitude(psi, off, i)
            e.put((e.builder.fmul(r, factor), e.builder.fmul(m, factor)), psi, off, i)

        e.loop(size, one)

    return signature(psi, off, size, factors, foff), emit(body)


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

    return signature(psi, off, size, diagonals, count, out, ooff), emit(body)


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

    return signature(psi, off, size, diagonals, count, grad, goff, lam, loff), emit(body)


def _complex_scalar(e: Emitter, real: Any, imag: Any) -> list[Any]:
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

    return signature(psi, off, i, j, cs, coff, er, ei), emit(body)


@intrinsic
def phase(typingctx, psi, off, i, cs, coff, sign):
    """``psi[i] *= c - i sign s``."""

    def body(e, psi, off, i, cs, coff, sign):
        c = e.load(cs, coff, 0)
        s = e.builder.fmul(e.load(cs, coff, 1), e.spread(e.builder.sitofp(sign, e.element)))
        r, m = e.amplitude(psi, off, i)
        e.put((e.dot((c, r), (s, m)), e.dot((c, m), (e.neg(s), r))), psi, off, i)

    return signature(psi, off, i, cs, coff, sign), emit(body)


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

    return signature(lam, loff, i, psi, off, j, er, ei, out, ooff, factor, foff), emit(body)


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

    return signature(lam, loff, i, psi, off, j, er, ei, grad, goff, factor, foff), emit(body)

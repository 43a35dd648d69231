"""Vector instructions for one wide state: lanes are the last qubits, not samples.

The state is ``[2**n / lanes][re, im][lanes]``, so a lane's number is the lowest bits of the amplitude's index
(4 for float32, 3 for float64). Gates on the other qubits are those of :mod:`qfedfm.quantum.lanes`; here are
gates on the lanes themselves (a shuffle of each vector) and gates between two stretches of the state. ``q``
is as there, one number in every lane.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, misc, untyped-decorator"

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from qfedfm.quantum.vector_code import Emitter, emit, signature


@intrinsic
def gate_between(typingctx, psi, aoff, boff, count, q, qoff):
    """Applies a gate to amplitudes at ``aoff`` (its qubit 0) and ``boff`` (1), ``count`` rows of them."""

    def body(e, psi, aoff, boff, count, q, qoff):
        matrix = e.quaternion(q, qoff)

        def pair(i):
            new = e.rotate(matrix, e.amplitude(psi, aoff, i), e.amplitude(psi, boff, i), False)
            e.put(new[0], psi, aoff, i)
            e.put(new[1], psi, boff, i)

        e.loop(count, pair)

    return signature(psi, aoff, boff, count, q, qoff), emit(body)


@intrinsic
def gate_between_back(typingctx, psi, lam, aoff, boff, count, q, qoff, acc, acoff):
    """Takes the gate back on state and co-state; adds ``Im <lam|P|psi>`` for P = X, Y, Z to ``acc``."""

    def body(e, psi, lam, aoff, boff, count, q, qoff, acc, acoff):
        matrix = e.quaternion(q, qoff)
        sums = [e.variable(e.load(acc, acoff, row)) for row in range(3)]

        def pair(i):
            p0, p1 = e.amplitude(psi, aoff, i), e.amplitude(psi, boff, i)
            l0, l1 = e.amplitude(lam, aoff, i), e.amplitude(lam, boff, i)
            n0, n1 = [e.neg(part) for part in l0], [e.neg(part) for part in l1]
            e.gather(sums[0], (l0[0], p1[1]), (n0[1], p1[0]), (l1[0], p0[1]), (n1[1], p0[0]))
            e.gather(sums[1], (n0[0], p1[0]), (n0[1], p1[1]), (l1[0], p0[0]), (l1[1], p0[1]))
            e.gather(sums[2], (l0[0], p0[1]), (n0[1], p0[0]), (n1[0], p1[1]), (l1[1], p1[0]))
            for data, s0, s1 in ((psi, p0, p1), (lam, l0, l1)):
                new = e.rotate(matrix, s0, s1, True)
                e.put(new[0], data, aoff, i)
                e.put(new[1], data, boff, i)

        e.loop(count, pair)
        for row, total in enumerate(sums):
            e.store(e.builder.load(total), acc, acoff, row)

    return signature(psi, lam, aoff, boff, count, q, qoff, acc, acoff), emit(body)


class _Lane:
    """A gate on the qubit that is one bit of the lane's number."""

    def __init__(self, e: Emitter, bit: int, q: list[Any], inverse: bool) -> None:
        self.e, self.lanes = e, e.lanes
        kind = ir.VectorType(ir.IntType(32), e.lanes)
        self.mask = ir.Constant(kind, [lane ^ bit for lane in range(e.lanes)])
        self.sign = ir.Constant(e.vector, [-1.0 if lane & bit else 1.0 for lane in range(e.lanes)])
        w, x, y, z = q
        if inverse:
            x, y, z = e.neg(x), e.neg(y), e.neg(z)
        self.w, self.x, self.nx = w, x, e.neg(x)
        self.y, self.z = e.builder.fmul(y, self.sign), e.builder.fmul(z, self.sign)
        self.ny, self.nz = e.neg(self.y), e.neg(self.z)

    def other(self, amplitude: tuple[Any, Any]) -> tuple[Any, Any]:
        """The amplitudes whose bit is the other one."""
        first, second = (
            self.e.builder.shuffle_vector(part, ir.Constant(self.e.vector, ir.Undefined), self.mask)
            for part in amplitude
        )
        return first, second

    def rotate(self, own: tuple[Any, Any], other: tuple[Any, Any]) -> tuple[Any, Any]:
        """The gate on both halves of every pair at once."""
        (r, m), (ro, mo) = own, other
        return (
            self.e.dot((self.w, r), (self.z, m), (self.ny, ro), (self.x, mo)),
            self.e.dot((self.w, m), (self.nz, r), (self.ny, mo), (self.nx, ro)),
        )


@intrinsic
def gate_lane(typingctx, psi, off, count, bit, q, qoff):
    """Applies a gate to ``count`` rows; its qubit is the bit ``bit`` of the lane's number."""

    def body(e, psi, off, count, bit, q, qoff):
        for width in (1, 2, 4, 8):
            if width >= e.lanes:
                continue
            with e.builder.if_then(e.builder.icmp_signed("==", bit, e.i64(width))):
                lane = _Lane(e, width, e.quaternion(q, qoff), False)

                def one(i, lane=lane):
                    own = e.amplitude(psi, off, i)
                    e.put(lane.rotate(own, lane.other(own)), psi, off, i)

                e.loop(count, one)

    return signature(psi, off, count, bit, q, qoff), emit(body)


@intrinsic
def gate_lane_back(typingctx, psi, lam, off, count, bit, q, qoff, acc, acoff):
    """:func:`gate_between_back` for a qubit that is a bit of the lane's number."""

    def body(e, psi, lam, off, count, bit, q, qoff, acc, acoff):
        sums = [cgutils.alloca_once(e.builder, e.vector) for _ in range(3)]
        for row, total in enumerate(sums):
            e.builder.store(e.load(acc, acoff, row), total)
        for width in (1, 2, 4, 8):
            if width >= e.lanes:
                continue
            with e.builder.if_then(e.builder.icmp_signed("==", bit, e.i64(width))):
                lane = _Lane(e, width, e.quaternion(q, qoff), True)

                def one(i, lane=lane):
                    p, l = e.amplitude(psi, off, i), e.amplitude(lam, off, i)  # noqa: E741
                    po, lo = lane.other(p), lane.other(l)
                    e.gather(sums[0], (l[0], po[1]), (e.neg(l[1]), po[0]))
                    overlap = e.dot((l[0], po[0]), (l[1], po[1]))
                    e.gather(sums[1], (e.neg(lane.sign), overlap))
                    e.gather(sums[2], (lane.sign, e.dot((l[0], p[1]), (e.neg(l[1]), p[0]))))
                    e.put(lane.rotate(p, po), psi, off, i)
                    e.put(lane.rotate(l, lo), lam, off, i)

                e.loop(count, one)
        for row, total in enumerate(sums):
            e.store(e.builder.load(total), acc, acoff, row)

    return signature(psi, lam, off, count, bit, q, qoff, acc, acoff), emit(body)

"""Vector instructions, written out: what the inner loops of the compiled executor are made of.

Numba would have to prove that its arrays do not overlap before it could turn a plain loop over lanes into
vector instructions, and it cannot; so the vectors are spelled out. :mod:`qfedfm.quantum.lanes` says how a
state lies in memory.
"""

# Vector code reads best in the order of its formulas.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, misc, untyped-decorator"

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

I64 = ir.IntType(64)


def lane_count(dtype: types.Type) -> int:
    """Returns how many samples stand side by side: 64 bytes of them."""
    return 16 if dtype == types.float32 else 8


class Emitter:
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
        """The pointer to an array's numbers."""
        return self.context.make_array(array_type)(self.context, self.builder, value).data

    def i64(self, value: int) -> Any:
        """A constant."""
        return ir.Constant(I64, value)

    def place(self, data: Any, offset: Any, row: Any = 0) -> Any:
        """Pointer to a row of lanes: ``offset`` numbers, then ``row`` rows further."""
        if not isinstance(row, int):
            offset = self.builder.add(offset, self.builder.mul(row, self.i64(self.lanes)))
        elif row:
            offset = self.builder.add(offset, self.i64(row * self.lanes))
        pointer = self.builder.gep(data, [offset])
        return self.builder.bitcast(pointer, self.vector.as_pointer())

    def load(self, data: Any, offset: Any, row: Any = 0) -> Any:
        """A row of lanes."""
        return self.builder.load(self.place(data, offset, row), align=self.alignment)

    def store(self, value: Any, data: Any, offset: Any, row: Any = 0) -> None:
        """Writes a row of lanes."""
        self.builder.store(value, self.place(data, offset, row), align=self.alignment)

    def amplitude(self, data: Any, offset: Any, index: Any) -> tuple[Any, Any]:
        """Real and imaginary lanes of amplitude ``index``."""
        row = self.builder.shl(index, self.i64(1))
        return self.load(data, offset, row), self.load(data, offset, self.builder.add(row, self.i64(1)))

    def put(self, value: tuple[Any, Any], data: Any, offset: Any, index: Any) -> None:
        """Writes real and imaginary lanes of amplitude ``index``."""
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
        """One number."""
        return self.builder.load(self.builder.gep(data, [index]))

    def zero(self) -> Any:
        """A row of zeros."""
        return ir.Constant(self.vector, [0.0] * self.lanes)

    def variable(self, value: Any) -> Any:
        """The pointer to a row of lanes that begins as ``value``."""
        pointer = cgutils.alloca_once(self.builder, self.vector)
        self.builder.store(value, pointer)
        return pointer

    def neg(self, a: Any) -> Any:
        """The row with its signs changed."""
        return self.builder.fneg(a)

    def dot(self, *pairs: tuple[Any, Any]) -> Any:
        """The sum of products."""
        total = self.builder.fmul(*pairs[0])
        for a, b in pairs[1:]:
            total = self.builder.call(self._fma, [a, b, total])
        return total

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """``a b + c``, rounded once where the processor can."""
        return self.builder.call(self._fma, [a, b, c])

    def gather(self, pointer: Any, *pairs: tuple[Any, Any]) -> None:
        """Adds products to a variable."""
        total = self.builder.load(pointer)
        for a, b in pairs:
            total = self.fma(a, b, total)
        self.builder.store(total, pointer)

    def loop(self, count: Any, body: Callable[[Any], None]) -> None:
        """Calls ``body(i)`` for i from 0 to ``count - 1``."""
        with cgutils.for_range(self.builder, count, intp=I64) as loop:
            body(loop.index)

    def pairs(self, size: Any, stride: Any, body: Callable[[Any, Any], None]) -> None:
        """Calls ``body(i, i + stride)`` for every ``i`` with the bit ``stride`` unset."""
        b = self.builder
        step = b.shl(stride, self.i64(1))
        with (
            cgutils.for_range_slice(b, self.i64(0), size, step, I64) as (high, _),
            cgutils.for_range(b, stride, intp=I64) as low,
        ):
            first = b.add(high, low.index)
            body(first, b.add(first, stride))

    def quaternion(self, data: Any, offset: Any) -> list[Any]:
        """The four rows of a gate's quaternion."""
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


def emit(body: Callable[..., None]) -> Callable[..., Any]:
    """Makes a code generator out of ``body(emitter, *arguments)`` with data pointers for arrays."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emitter = Emitter(context, builder, signature.args[0].dtype)
        ready = [
            emitter.data(kind, value) if isinstance(kind, types.Array) else value
            for kind, value in zip(signature.args, arguments, strict=True)
        ]
        body(emitter, *ready)
        return context.get_dummy_value()

    return codegen


def signature(*arguments: Any) -> Any:
    """Returns the type of a function of these arguments: arrays, and whole numbers."""
    return types.void(*(a if isinstance(a, types.Array) else types.int64 for a in arguments))

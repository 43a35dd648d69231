"""Products of polynomials over GF(2) on 64-bit words: Karatsuba over carry-less multiplication.

Polynomials are words, lowest bits first. Karatsuba is not recursive here: ``expand`` evaluates a block at
once into 3^L pieces of ``WORDS`` words, products of pieces add up, and ``collapse`` turns a sum of products
back, so that a block that occurs in many products is evaluated once and sums are turned back once.
Karatsuba, Ofman, 1962; carry-less multiplication: Gueron, Kounavis, 2010, doi:10.1016/j.ipl.2010.04.011.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from qfedfm.core.compiled import cached, digest

WORDS = 8
"""Words of a piece that is multiplied directly."""
DIAGONALS = 2 * WORDS - 1
"""128-bit sums of a product of two pieces, each 64 bits above the one before."""


def supported() -> bool:
    """Returns whether this processor, and the one that Numba compiles for, multiply without carries."""
    if config.CPU_FEATURES is not None:
        return "+pclmul" in config.CPU_FEATURES.split(",")
    return config.CPU_NAME is None and bool(get_host_cpu_features().get("pclmul"))


@intrinsic
def _add_product(typing_context, x, i, y, j, sums, k):
    """Adds the product of x[i : i + WORDS] and y[j : j + WORDS] to sums[k : k + 2 * DIAGONALS]."""
    signature = types.void(x, types.intp, y, types.intp, sums, types.intp)

    def generate(context, builder, signature, arguments):
        pair, byte = ir.VectorType(ir.IntType(64), 2), ir.IntType(8)
        multiply = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(pair, [pair, pair, byte]), "llvm.x86.pclmulqdq"
        )

        def pairs(position):
            array = context.make_array(signature.args[position])(context, builder, arguments[position])
            start = builder.gep(array.data, [arguments[position + 1]])
            return builder.bitcast(start, pair.as_pointer())

        def at(start, offset):
            return builder.gep(start, [ir.Constant(ir.IntType(64), offset)])

        left, right, total = pairs(0), pairs(2), pairs(4)
        a = [builder.load(at(left, n), align=8) for n in range(WORDS // 2)]
        b = [builder.load(at(right, n), align=8) for n in range(WORDS // 2)]
        for diagonal in range(DIAGONALS):
            found = builder.load(at(total, diagonal), align=8)
            for n in range(max(0, diagonal - WORDS + 1), min(WORDS, diagonal + 1)):
                m = diagonal - n
                which = ir.Constant(byte, (n % 2) | ((m % 2) << 4))  # high or low word of each pair
                found = builder.xor(found, builder.call(multiply, [a[n // 2], b[m // 2], which]))
            builder.store(found, at(total, diagonal), align=8)
        return context.get_dummy_value()

    return signature, generate


def _cached_expand(digest: int) -> Callable[..., Any]:
    @cached
    def expand(blocks, pieces):
        digest  # noqa: B018  (numba finds what it compiled by the values a function closes over)
        count, size = blocks.shape
        here, there = np.empty(pieces.shape[0] * 8, np.uint64), np.empty(pieces.shape[0] * 8, np.uint64)
        for block in range(count):
            here[:size] = blocks[block]
            parts, width = 1, size
            while width > 8:
                half = width // 2
                for part in range(parts):
                    low, to = part * width, part * 3 * half
                    for k in range(half):
                        there[to + k] = here[low + k]
                        there[to + half + k] = here[low + half + k]
                        there[to + width + k] = here[low + k] ^ here[low + half + k]
                here, there = there, here
                parts, width = 3 * parts, half
            for part in range(parts):
                for k in range(8):
                    pieces[part, block, k] = here[part * 8 + k]

    function: Callable[..., Any] = expand
    return function


def _cached_multiply(digest: int) -> Callable[..., Any]:
    @cached
    def multiply(a, b, first, sums):
        digest  # noqa: B018
        parts, columns, words = a.shape
        rows, diagonals = b.shape[1], sums.shape[1]
        width = sums.shape[2]
        x, y, total = a.reshape(-1), b.reshape(-1), sums.reshape(-1)
        total[:] = 0
        for part in range(parts):
            for diagonal in range(diagonals):
                where = (part * diagonals + diagonal) * width
                for column in range(columns):
                    row = first + diagonal - column
                    if 0 <= row < rows:
                        left, right = (part * columns + column) * words, (part * rows + row) * words
                        _add_product(x, left, y, right, total, where)

    function: Callable[..., Any] = multiply
    return function


def _cached_collapse(digest: int) -> Callable[..., Any]:
    @cached
    def collapse(sums, size, result):
        digest  # noqa: B018
        parts, diagonals, width = sums.shape
        here, there = np.empty(parts * 16, np.uint64), np.empty(parts * 16, np.uint64)
        for diagonal in range(diagonals):
            for part in range(parts):
                here[part * 16 : part * 16 + 16] = 0
                for k in range(width // 2):
                    here[part * 16 + k] ^= sums[part, diagonal, 2 * k]
                    here[part * 16 + k + 1] ^= sums[part, diagonal, 2 * k + 1]
            left, half = parts, 8  # products of pieces of ``half`` words have twice as many
            while left > 1:
                left //= 3
                for part in range(left):
                    low, to = part * 6 * half, part * 4 * half
                    for k in range(2 * half):
                        there[to + k] = here[low + k]
                        there[to + 2 * half + k] = here[low + 2 * half + k]
                    for k in range(2 * half):
                        middle = here[low + k] ^ here[low + 2 * half + k] ^ here[low + 4 * half + k]
                        there[to + half + k] ^= middle
                here, there = there, here
                half *= 2
            for k in range(2 * size):
                result[diagonal * size + k] ^= here[k]

    function: Callable[..., Any] = collapse
    return function


#: ``expand(blocks (C, 8 * 2^L), pieces (3^L, C, 8))``: evaluates blocks of words.
expand = _cached_expand(digest(__file__))
#: ``multiply(a (3^L, C, 8), b (3^L, S, 8), first, sums (3^L, D, 30))``: sums[d] = sum_c a[c] b[first+d-c].
multiply = _cached_multiply(digest(__file__))
#: ``collapse(sums (3^L, D, 30), size, result ((D + 1) * size))``: adds product d to ``result`` at d * size.
collapse = _cached_collapse(digest(__file__))

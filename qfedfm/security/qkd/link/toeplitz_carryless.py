"""A Toeplitz matrix times bits as a product of polynomials over GF(2); exact, no rounding.

Output i is coefficient i + n - 1 of the product of the seed's polynomial and the input's. Both are cut into
blocks, and only the products of blocks that touch those coefficients are made.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qfedfm.security.qkd.link.carryless_kernel import DIAGONALS, WORDS, collapse, expand, multiply

Bits = NDArray[np.uint8]
MOST_LEVELS = 7
"""Levels of Karatsuba: blocks of at most 8 * 2^7 words."""


class CarrylessProduct:
    """One matrix.

    Args:
        seed: Its bits, shape (inputs + outputs - 1,).
        inputs: Columns, n.
        outputs: Rows, m.
    """

    rounding_error = 0.0

    def __init__(self, seed: Bits, inputs: int, outputs: int) -> None:
        self._outputs, levels = outputs, 0
        while levels < MOST_LEVELS and 64 * WORDS << (levels + 1) <= outputs:
            levels += 1
        self._size, self._parts = WORDS << levels, 3**levels
        bits = 64 * self._size
        self._columns, self._rows = -(-inputs // bits), -(-outputs // bits)
        # Zeros below the seed, so that coefficient n - 1 begins a block.
        shift = -(inputs - 1) % bits
        self._first = (inputs - 1 + shift) // bits - 1
        self._seed = self._pieces(np.concatenate([np.zeros(shift, dtype=np.uint8), seed]))

    def _pieces(self, bits: Bits) -> NDArray[np.uint64]:
        octets = np.packbits(bits, bitorder="little")
        count = -(-len(octets) // (8 * self._size))
        padded = np.zeros(count * 8 * self._size, dtype=np.uint8)
        padded[: len(octets)] = octets
        pieces = np.empty((self._parts, count, WORDS), dtype=np.uint64)
        expand(padded.view("<u8").astype(np.uint64, copy=False).reshape(count, self._size), pieces)
        return pieces

    def __call__(self, blocks: Bits, out: Bits) -> None:
        """Writes the hashes of ``blocks``, shape (count, inputs), to ``out``, shape (count, outputs)."""
        diagonals = self._rows + 1  # block d covers words of its own and of the next one
        sums = np.empty((self._parts, diagonals, 2 * DIAGONALS), dtype=np.uint64)
        for block, hashed in zip(blocks, out, strict=True):
            multiply(self._pieces(block), self._seed, self._first, sums)
            words = np.zeros((diagonals + 1) * self._size, dtype=np.uint64)
            collapse(sums, self._size, words)
            octets = words[self._size :].astype("<u8", copy=False).view(np.uint8)
            hashed[:] = np.unpackbits(octets, bitorder="little")[: self._outputs]

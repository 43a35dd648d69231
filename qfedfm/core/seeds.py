"""A fixed pool of random directions, and the state that is a combination of them. FedKSeed, arXiv:2312.06353.

    w = w_0 + Σ_j a_j z(s_j),   j in ascending order, a_j and the sum in float64

z(s) holds ±1: row number s of the Hadamard matrix of the next power of two, read at random places with a
random sign each, which all rows share. Signs and the choice of rows and places are the bits of a Philox
stream, so that every machine gets the same, whatever its libraries. The paper draws each z from a normal
distribution; these rows have the same mean and variance in each place and are orthogonal as well (over all
places), so that a pool of as many directions as that power of two reaches every state, and a combination of
all takes one fast transform (Fino and Algazi, 1976) instead of S passes over the model.

The coefficients a_j are whole multiples of a unit. So the sum is one of whole numbers, exact in any order,
and whoever knows w_0, the pool and the coefficients has the same bits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class SeedPool:
    """Directions number 0 to ``count - 1``.

    Args:
        key: What signs and rows derive from, for example ``Streams.key(...)``.
        count: How many directions, S.
    """

    key: bytes
    count: int

    def draw(self, number: int, size: int) -> NDArray[np.int8]:
        """Returns direction ``number``, ±1, shape (size,)."""
        return np.asarray(self.directions([number], size)[0])

    def directions(self, numbers: Sequence[int], size: int) -> NDArray[np.int8]:
        """Returns several directions, ±1, shape (len(numbers), size)."""
        signs, places, rows = _table(self, size)
        chosen = rows[list(numbers)]
        found = np.ones((len(chosen), _order(self, size)), np.int8)
        width = 1
        while width < found.shape[1]:  # a bit of the row's number says whether the next half is the negative
            sign = np.where(chosen & width, -1, 1).astype(np.int8)
            np.multiply(found[:, :width], sign[:, None], out=found[:, width : 2 * width])
            width *= 2
        return np.asarray(found[:, places] * signs)

    def rebuild(self, start: NDArray[Any], counts: NDArray[np.int64], unit: float) -> NDArray[np.float64]:
        """Returns ``w_0 + unit · Σ_j counts_j z(s_j)``, shape (size,), float64.

        Args:
            start: w_0, shape (size,).
            counts: a in units, shape (count,), whole numbers whose absolute values add up to less than 2⁵³.
            unit: What one count is worth.
        """
        if counts.shape != (self.count,):
            raise ValueError(f"a pool of {self.count} directions takes as many coefficients")
        signs, places, rows = _table(self, len(start))
        total = np.zeros(_order(self, len(start)), np.int64)
        total[rows] = counts
        width = 1
        while width < len(total):
            halves = total.reshape(-1, 2, width)
            total = np.stack([halves[:, 0] + halves[:, 1], halves[:, 0] - halves[:, 1]], axis=1).reshape(-1)
            width *= 2
        moved = (total[places] * signs).astype(np.float64) * unit
        return np.asarray(np.asarray(start, dtype=np.float64) + moved)


@lru_cache(maxsize=4)
def _table(pool: SeedPool, size: int) -> tuple[NDArray[np.int8], NDArray[np.int64], NDArray[np.int64]]:
    """Returns each number's sign and place (column), and each direction's row, in the Hadamard matrix."""
    order = _order(pool, size)
    bits = _words(pool, b"signs", -(-size // 64)).view(np.uint8)
    signs = np.unpackbits(bits, count=size, bitorder="little")
    # Without repetition: those with the smallest draws.
    places = np.argsort(_words(pool, b"places", order), kind="stable")[:size]
    rows = np.argsort(_words(pool, b"rows", order), kind="stable")[: pool.count]
    return signs.view(np.int8) * np.int8(2) - np.int8(1), places, rows


def _order(pool: SeedPool, size: int) -> int:
    return 1 << max(size - 1, pool.count - 1, 0).bit_length()


def _words(pool: SeedPool, name: bytes, count: int) -> NDArray[np.uint64]:
    seed = hashlib.sha256(pool.key + name).digest()
    drawn = np.random.Philox(key=int.from_bytes(seed[:16], "little")).random_raw(count)
    return np.asarray(drawn, dtype="<u8")

"""A fixed pool of random directions, and the state that is a combination of them. FedKSeed, arXiv:2312.06353.

    w = w_0 + Σ_j a_j z(s_j),   j in ascending order, a_j and the sum in float64

z(s) holds independent ±1: the bits of a Philox stream, so that every machine gets the same, whatever its
libraries. Each number is added in the same order with the same rounding, so that whoever knows w_0, the pool
and the coefficients a has the same bits. (The paper draws z from a normal distribution; both have mean 0 and
variance 1.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGEST_TABLE = 1 << 26
"""Numbers of a pool that is kept in memory, one byte each."""


@dataclass(frozen=True)
class SeedPool:
    """Directions number 0 to ``count - 1``.

    Args:
        key: What all seeds derive from, for example ``Streams.key(...)``.
        count: How many directions, S.
    """

    key: bytes
    count: int

    def draw(self, number: int, size: int) -> NDArray[np.int8]:
        """Returns direction ``number``, ±1, shape (size,); bit 1 of the stream is +1."""
        seed = hashlib.sha256(self.key + number.to_bytes(8, "little")).digest()
        words = np.random.Philox(key=int.from_bytes(seed[:16], "little")).random_raw(-(-size // 64))
        packed = np.asarray(words, dtype="<u8").view(np.uint8)
        bits = np.unpackbits(packed, count=size, bitorder="little").view(np.int8)
        return bits * np.int8(2) - np.int8(1)

    def directions(self, numbers: Sequence[int], size: int) -> NDArray[np.int8]:
        """Returns several directions, shape (len(numbers), size); a small pool is drawn once and kept."""
        if self.count * size <= LARGEST_TABLE:
            return np.asarray(_table(self, size)[list(numbers)])
        return np.stack([self.draw(number, size) for number in numbers])

    def rebuild(self, start: NDArray[Any], coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns ``w_0 + Σ_j a_j z(s_j)``, shape (size,), float64.

        Args:
            start: w_0, shape (size,).
            coefficients: a, shape (count,), float64.
        """
        if coefficients.shape != (self.count,):
            raise ValueError(f"a pool of {self.count} directions takes as many coefficients")
        state = np.array(start, dtype=np.float64)
        step = np.empty_like(state)
        for number in np.flatnonzero(coefficients).tolist():
            np.multiply(self.directions([number], len(state))[0], coefficients[number], out=step)
            state += step
        return state


@lru_cache(maxsize=2)
def _table(pool: SeedPool, size: int) -> NDArray[np.int8]:
    return np.stack([pool.draw(number, size) for number in range(pool.count)])

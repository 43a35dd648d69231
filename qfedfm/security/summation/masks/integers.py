"""Updates as integers mod 2^b whose sum cannot overflow, and their form on the wire.

    L = 2^(b-1) − 1 − K,   q_k = ⌊ w_k · clip(x_k, ±B) · L / B + u ⌋,   u uniform in [0, 1)

so that E q_k is exact and ``Σ|q_k| ≤ Σ (w_k L + 1) ≤ L + K = 2^(b-1) − 1``: whatever the clients hold, the
signed sum is what the residue says. Masked numbers are uint32; they add mod 2^32, of which 2^b is a divisor,
and are cut to b bits when sent: 16 bits as uint16, 24 as a plane of uint16 and one of uint8, 32 as uint32,
little-endian, b·d bits in all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qfedfm.core.errors import RequestError
from qfedfm.security.summation.protocol import check_finite

Words = NDArray[np.uint32]
BITS = (16, 24, 32)
CHUNK = 1 << 16
"""Numbers that are worked on at a time: they stay in the nearest caches."""


@dataclass(frozen=True)
class Integers:
    """The encoding of one job.

    Args:
        bits: b, one of 16, 24, 32.
        clients: K.
        bound: B, the largest absolute number of an update; larger ones are clipped.
    """

    bits: int
    clients: int
    bound: float

    def __post_init__(self) -> None:
        assert self.bits in BITS
        if self.levels < self.clients:
            raise RequestError(
                f"security.sum.bits is {self.bits}, but sums of {self.clients} clients need more: rounding "
                f"alone could fill them; use {next((b for b in BITS if b > self.bits), 'fewer clients')}"
            )

    @property
    def levels(self) -> int:
        """L."""
        return int(2 ** (self.bits - 1) - 1 - self.clients)

    @property
    def scale(self) -> float:
        """L / B."""
        return self.levels / self.bound

    def encode(
        self, update: NDArray[np.float32], weight: float, rng: np.random.Generator
    ) -> tuple[Words, int]:
        """Returns q_k, shape (d,), and how many numbers were clipped.

        Raises:
            UpdateRefusedError: A number is not finite.
        """
        check_finite(update)
        words = np.empty(len(update), np.uint32)
        clipped = 0
        for start in range(0, len(update), CHUNK):
            part = update[start : start + CHUNK].astype(np.float64)
            clipped += int(np.count_nonzero(np.abs(part) > self.bound))
            np.clip(part, -self.bound, self.bound, out=part)
            part *= weight * self.scale
            part += rng.random(len(part), np.float32)
            words[start : start + CHUNK] = np.floor(part, out=part).astype(np.int64).astype(np.uint32)
        return words, clipped

    def signed(self, words: Words) -> NDArray[np.int64]:
        """Returns the residues in ±2^(b-1), shape (d,)."""
        residues = words.astype(np.int64) & ((1 << self.bits) - 1)
        return np.where(residues >= 1 << (self.bits - 1), residues - (1 << self.bits), residues)

    def decode(self, words: Words) -> NDArray[np.float64]:
        """Returns the numbers, shape (d,)."""
        return self.signed(words) / self.scale


def message_bytes(size: int, bits: int) -> int:
    """Returns the length of d numbers on the wire."""
    return size * bits // 8


def to_bytes(words: Words, bits: int) -> bytes:
    """Returns the numbers mod 2^b on the wire."""
    if bits == 32:
        return words.astype("<u4", copy=False).tobytes()
    low = words.astype("<u2").tobytes()
    return low if bits == 16 else low + (words >> np.uint32(16)).astype(np.uint8).tobytes()


def from_bytes(message: bytes, bits: int) -> Words:
    """Returns the numbers of one message."""
    size = len(message) * 8 // bits
    return add_messages([message], size, bits)


def add_messages(messages: Sequence[bytes], size: int, bits: int) -> Words:
    """Returns the sum of the numbers in ``messages`` mod 2^b, shape (d,).

    Each chunk is added up over all messages before the next, so that only messages are read from memory.
    """
    total = np.zeros(size, np.uint32)
    if bits != 24:
        width: type[np.unsignedinteger[Any]] = np.uint32 if bits == 32 else np.uint16
        whole = [np.frombuffer(message, width, size) for message in messages]
        for start in range(0, size, CHUNK):
            part = np.zeros(min(CHUNK, size - start), width)
            for plane in whole:
                np.add(part, plane[start : start + CHUNK], out=part)
            total[start : start + CHUNK] = part
        return total
    from qfedfm.security.summation.masks.words_kernel import add_planes

    lows = [np.frombuffer(message, np.uint16, size) for message in messages]
    highs = [np.frombuffer(message, np.uint8, size, 2 * size) for message in messages]
    for start in range(0, size, CHUNK):
        end = min(start + CHUNK, size)
        for low, high in zip(lows, highs, strict=True):
            add_planes(total[start:end], low[start:end], high[start:end])
    total &= np.uint32(0xFFFFFF)
    return total

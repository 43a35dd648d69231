"""Cascade: interactive error correction that counts what it discloses.

Brassard, Salvail, 1994, doi:10.1007/3-540-48285-7_35; the modern variants are options (3), (4) and (7) of
Martinez-Mateo, Pacher, Peev, Ciurana, Martin, 2015, arXiv:1407.3257.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from qfedfm.core.config import nearest
from qfedfm.core.errors import RequestError
from qfedfm.core.random import Streams
from qfedfm.security.qkd.entropy import binary_entropy
from qfedfm.security.qkd.link.compiled import generator_state

Bits = NDArray[np.uint8]


@dataclass(frozen=True)
class Variant:
    """Block sizes and what is remembered.

    Args:
        passes: Number of passes.
        sizes: From (error rate, frame length) to the block size of each pass, before it is bounded by n.
        reuse: Whether halves that were disclosed serve later searches.
    """

    passes: int
    sizes: Callable[[float, int], list[int]]
    reuse: bool

    def block_sizes(self, error: float, length: int) -> NDArray[np.int64]:
        """Returns the block size of each pass, each in [2, length]; shape (passes,)."""
        bounded = [min(max(2, size), length) for size in self.sizes(min(max(error, 1e-4), 0.5), length)]
        return np.array(bounded, dtype=np.int64)


def _doubling(error: float, length: int) -> list[int]:
    first = math.ceil(0.73 / error)
    return [first << p for p in range(4)]


def _halves(error: float, length: int) -> list[int]:
    first = math.ceil(1 / error)
    return [first, 2 * first] + [math.ceil(length / 2)] * 14


def _powers(error: float, length: int) -> list[int]:
    first = 2 ** math.ceil(math.log2(1 / error))
    return [first, 4 * first] + [math.ceil(length / 2)] * 12


VARIANTS: dict[str, Variant] = {
    "original": Variant(4, _doubling, reuse=False),
    "option3": Variant(16, _halves, reuse=False),
    "option4": Variant(16, _halves, reuse=True),
    "option7": Variant(14, _powers, reuse=True),
}
"""Published variants by name."""

FRAME = 10_000
"""Bits of a frame, the length for which efficiencies are published."""


@dataclass(frozen=True)
class Reconciled:
    """The outcome of reconciling some frames.

    Args:
        bits: Bob's corrected bits, shape (n,).
        transcript: Every parity that Alice disclosed, in order, shape (leak,).
        disclosed: Parities per frame.
        corrected: Bits that Bob flipped, per frame.
        frames: Where each frame begins and ends, ``(start, stop)``.
    """

    bits: Bits
    transcript: Bits
    disclosed: NDArray[np.int64]
    corrected: NDArray[np.int64]
    frames: tuple[tuple[int, int], ...]

    @property
    def leak(self) -> int:
        """Parities that Alice disclosed."""
        return len(self.transcript)

    def efficiency(self, error: float) -> float:
        """Returns f: parities over n h(error)."""
        return self.leak / (len(self.bits) * binary_entropy(error))


def variant(name: str) -> Variant:
    """Returns the variant of that name."""
    if name not in VARIANTS:
        raise RequestError(f"there is no Cascade variant {name!r}{nearest(name, VARIANTS)}")
    return VARIANTS[name]


def reconcile(
    alice: Bits,
    bob: Bits,
    error: float,
    streams: Streams,
    *,
    kind: str = "original",
    frame: int = FRAME,
    fresh: bool = True,
    flipped: int = -1,
) -> Reconciled:
    """Corrects Bob's bits to Alice's.

    Args:
        alice: Alice's bits, shape (n,), n >= 2.
        bob: Bob's bits, shape (n,); left as they are.
        error: Estimated error rate, in [0, 1/2].
        streams: Where the public permutations are drawn from.
        kind: A name of ``VARIANTS``.
        frame: Bits of a frame; the last one may be longer by up to half of it, or shorter.
        fresh: New permutations for each frame, else one set for all.
        flipped: Number of the parity that an attacker flips on its way to Bob; -1 for none.
    """
    from qfedfm.security.qkd.link import cascade_kernel

    if alice.shape != bob.shape or len(alice) < 2:
        raise RequestError(f"Cascade needs two keys of one length >= 2, got {len(alice)} and {len(bob)} bits")
    chosen, n = variant(kind), len(alice)
    whole = max(1, round(n / frame)) if n >= frame else 1
    edges = [k * frame for k in range(whole)] + [n]
    groups = [(0, (whole - 1) * frame, frame)] if whole > 1 else []
    groups.append((edges[-2], n, n - edges[-2]))
    corrected_bits, parts, disclosed, corrected, said = bob.copy(), [], [], [], 0
    for number, (start, stop, length) in enumerate(groups):
        count = (stop - start) // length
        sizes = chosen.block_sizes(error, length)
        transcript = np.empty(count * (2 * length + 64), dtype=np.uint8)
        told, flips = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
        here = cascade_kernel.reconcile(
            alice[start:stop].reshape(count, length),
            corrected_bits[start:stop].reshape(count, length),
            sizes,
            chosen.reuse,
            fresh,
            generator_state(streams, "cascade", number),
            transcript,
            flipped - said if flipped >= said else -1,
            told,
            flips,
        )
        parts.append(transcript[:here])
        disclosed.append(told)
        corrected.append(flips)
        said += int(here)
    return Reconciled(
        corrected_bits,
        np.concatenate(parts),
        np.concatenate(disclosed),
        np.concatenate(corrected),
        tuple(pairwise(edges)),
    )

"""Counts of measured outcomes: binomial numbers with a chance of their own for each parameter.

Shapes: d = parameters.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from qfedfm.core.errors import RequestError

#: Most trials: beyond, the table of factorials would be larger than 8 MB.
LARGEST = 1 << 20
#: Parameters that are worked on at a time.
CHUNK = 1 << 15


def binomial(trials: int, chances: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Returns numbers of successes, shape (d,), exact in distribution.

    Args:
        trials: From 1 to :data:`LARGEST`.
        chances: Shape (d,), in [0, 1] (up to rounding).
        rng: Source of the generator's key; moves on by two words.

    Raises:
        RequestError: Too many trials.
    """
    from qfedfm.security.summation.binomial_kernel import draw

    keys = rng.integers(0, 2**64, 2, dtype=np.uint64)
    out = np.empty(len(chances), np.int64)
    p = np.clip(np.ascontiguousarray(chances, np.float64), 0.0, 1.0)
    draw(np.int64(trials), p, keys, factorials(trials), out)
    return out


@lru_cache(maxsize=8)
def factorials(trials: int) -> NDArray[np.float64]:
    """Returns ``log(k! (trials - k)!)`` for each k, shape (trials + 1,)."""
    if not 1 <= trials <= LARGEST:
        raise RequestError(f"shots must be from 1 to {LARGEST:,}, got {trials:,}")
    from scipy.special import gammaln

    k = np.arange(trials + 1.0)
    table: NDArray[np.float64] = gammaln(k + 1) + gammaln(trials - k + 1)
    return table

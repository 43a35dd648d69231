"""Binomial random numbers, exact in distribution, a different probability for each.

Few expected successes: inversion by sequential search (Kachitvichyanukul and Schmeiser, 1988, BINV). Others:
transformed rejection with squeeze (Hörmann, 1993, doi:10.1080/00949659308811496, BTRS). Three of four numbers
pass the squeeze, in a loop without branches that the compiler turns into vector instructions; the rest is
decided one by one, by bounds of the ratio of probabilities or the ratio itself from a table of factorials.

The generator is SplitMix64 (Steele, Lea and Flood, 2014, doi:10.1145/2660193.2660195): word i is a function
of a key and i, so that words need not be drawn one after another.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from qfedfm.core.compiled import cached, compiled, digest
from qfedfm.security.qkd.link.compiled import TO_UNIT

#: Expected successes below which the search is used: the rejection method needs 10.
FEW = 10.0
#: Numbers that one pass of the branchless loop takes: its arrays stay in the first cache.
BLOCK = 512
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@compiled
def _unit(key, number):
    """Word ``number`` of a key as a number in [0, 1)."""
    z = key + (number + np.uint64(1)) * _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return np.float64(np.int64(z >> np.uint64(11))) * TO_UNIT


@compiled
def _search(n, p, key, number):
    """A number for n p < :data:`FEW` and p <= 1/2, and how many words were drawn until then."""
    odds = p / (1.0 - p)
    scale = (n + 1) * odds
    none = math.exp(n * math.log1p(-p))
    while True:
        left = _unit(key, number)
        number += np.uint64(1)
        chance = none
        k = 0
        while left >= chance and k < n:
            left -= chance
            k += 1
            chance *= scale / k - odds
        # Beyond 110 successes only rounding in the sum of all chances can lead: draw again.
        if k < 110:
            return k, number


@compiled
def _accepted(n, p, u, v, drawn, logs):
    """The whole test of a candidate: whether (u, v) lies below its probability."""
    q = 1.0 - p
    root = math.sqrt(n * p * q)
    b = 1.15 + 2.53 * root
    a = -0.0873 + 0.0248 * b + 0.01 * p
    us = 0.5 - abs(u)
    if us >= 0.07 and v <= 0.92 - 4.2 / b:
        return True
    if drawn < 0.0 or drawn > n:
        return False
    k = np.int64(drawn)
    odds = p / q
    m = np.int64((n + 1) * p)
    height = math.log(v * (2.83 + 5.1 / b) * root / (a / (us * us) + b))
    away = abs(k - m)
    if away > 15:  # between bounds of the logarithm of the ratio (BTRD, step 3.2) nothing else is needed
        spread = n * p * q
        slack = (away / spread) * ((away * (away / 3.0 + 0.625) + 1.0 / 6.0) / spread + 0.5)
        middle = -(away * away) / (2.0 * spread)
        if height < middle - slack:
            return True
        if height > middle + slack:
            return False
    return height <= logs[m] - logs[k] + (k - m) * math.log(odds)


@compiled
def _candidate(n, p, u):
    b = 1.15 + 2.53 * math.sqrt(n * p * (1.0 - p))
    a = -0.0873 + 0.0248 * b + 0.01 * p
    return math.floor((2.0 * a / (0.5 - abs(u)) + b) * u + (n * p + 0.5))


def _cached_draw(digest: int) -> Callable[..., Any]:
    @cached
    def draw(n, p, keys, logs, out):
        """See :data:`draw`."""
        digest  # noqa: B018  (numba finds what it compiled by the values a function closes over)
        many, few = keys[0], keys[1]
        number = np.uint64(0)
        us, vs, drawn = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
        open_ = np.empty(BLOCK, np.bool_)
        for start in range(0, len(p), BLOCK):
            size = min(BLOCK, len(p) - start)
            first = np.uint64(2 * start)
            for i in range(size):
                chance = p[start + i]
                less = min(chance, 1.0 - chance)
                u = _unit(many, first + np.uint64(2 * i)) - 0.5
                v = _unit(many, first + np.uint64(2 * i + 1))
                b = 1.15 + 2.53 * math.sqrt(n * less * (1.0 - less))
                a = -0.0873 + 0.0248 * b + 0.01 * less
                middle = 0.5 - abs(u)
                found = np.floor((2.0 * a / middle + b) * u + (n * less + 0.5))
                us[i] = u
                vs[i] = v
                drawn[i] = found
                open_[i] = (middle < 0.07) | (v > 0.92 - 4.2 / b) | (n * less < FEW)
            for i in range(size):
                if open_[i]:
                    less = min(p[start + i], 1.0 - p[start + i])
                    if less <= 0.0:
                        drawn[i] = 0.0
                    elif n * less < FEW:
                        k, number = _search(n, less, few, number)
                        drawn[i] = k
                    else:
                        u, v = us[i], vs[i]
                        while not _accepted(n, less, u, v, drawn[i], logs):
                            u = _unit(few, number) - 0.5
                            v = _unit(few, number + np.uint64(1))
                            number += np.uint64(2)
                            drawn[i] = _candidate(n, less, u)
            for i in range(size):
                found = np.int64(drawn[i])
                out[start + i] = found if p[start + i] <= 0.5 else n - found

    return draw  # type: ignore[no-any-return]


#: ``draw(n, p, keys, logs, out)``: fills ``out``, shape (m,) int64, with binomial numbers of ``n`` trials
#: (int64) and chances ``p``, shape (m,), in [0, 1]. ``keys``, shape (2,) uint64: never the same twice.
#: ``logs``, shape (n + 1,): ``log(k! (n - k)!)`` for each k.
draw = _cached_draw(digest(__file__))

"""What a handful of numbers can honestly claim: intervals, paired tests, corrections.

Shapes: n = seeds or examples, R = bootstrap resamples, S = statistics computed at once.

Rule of this file: no interval rather than a false one. One value has no interval; values that are all
equal have none either, because a width of zero would claim a certainty that a few equal draws do not
give. Every such case carries a note that says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

LEVEL = 0.95
EXACT_UP_TO = 16
"""Pairs up to which the sign-flip test enumerates every sign pattern (2^16 = 65,536)."""
FLIPS = 100_000
"""Sign patterns drawn where enumeration would be too many."""
_CHUNK = 1 << 17  # indices at once: small enough for the processor cache, which doubles the speed


@dataclass(frozen=True)
class Estimate:
    """A number and how well it is known.

    Args:
        value: The estimate; None where it is undefined (no examples of a class, ...).
        low: Lower end of the interval, None where there is none.
        high: Upper end.
        n: How many observations it rests on.
        note: Why the value or the interval is missing; empty when both are there.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    note: str = ""

    @property
    def interval(self) -> tuple[float, float] | None:
        """``(low, high)`` or None."""
        return None if self.low is None or self.high is None else (self.low, self.high)

    def plain(self) -> dict[str, Any]:
        """Returns JSON-ready builtins; the note only where there is one."""
        result: dict[str, Any] = {"value": self.value, "low": self.low, "high": self.high, "n": self.n}
        return result | ({"note": self.note} if self.note else {})


@dataclass(frozen=True)
class PairedDifference:
    """How much ``other`` differs from ``first`` on the same seeds.

    Args:
        difference: Mean of ``other - first`` with its t-interval.
        p_t: Two-sided p of the paired t-test; None with fewer than two pairs or zero variance.
        p_sign_flip: Two-sided p of the exact sign-flip permutation test; None with fewer than two
            pairs. It assumes only that the differences are symmetric about zero under the null.
        smallest_p: The smallest p that the sign-flip test can give with so many pairs (2 / 2^n): with
            five seeds it is 0.0625, so that test alone cannot reach 0.05 there.
    """

    difference: Estimate
    p_t: float | None
    p_sign_flip: float | None
    smallest_p: float | None


def mean_interval(values: Sequence[float], level: float = LEVEL) -> Estimate:
    """Returns the mean over seeds with Student's t-interval.

    Args:
        values: One value a seed, length n >= 1, finite.
        level: Coverage, strictly between 0 and 1.

    Raises:
        ValueError: If there is no value, a value is not finite, or the level is out of range.
    """
    x = _checked(values, level)
    mean = float(x.mean())
    if x.size == 1:
        return Estimate(mean, n=1, note="one seed: no interval")
    if np.ptp(x) == 0:
        return Estimate(float(x[0]), n=x.size, note=f"all {x.size} values are equal: no interval")
    from scipy.special import stdtrit

    half = float(stdtrit(x.size - 1, (1 + level) / 2)) * float(x.std(ddof=1)) / math.sqrt(x.size)
    return Estimate(mean, mean - half, mean + half, n=x.size)


def paired_difference(
    first: Sequence[float],
    other: Sequence[float],
    generator: np.random.Generator | None = None,
    level: float = LEVEL,
) -> PairedDifference:
    """Compares two rows that ran on the same seeds, in the same order.

    Args:
        first: The row compared with, one value a seed, length n.
        other: The row that is compared, length n.
        generator: Draws the sign patterns where there are more than 16 pairs; not needed below.
        level: Coverage of the difference's interval.

    Raises:
        ValueError: If the lengths differ, or a generator is needed and missing.
    """
    a, b = _checked(first, level), _checked(other, level)
    if a.size != b.size:
        raise ValueError(f"a paired test needs pairs: {a.size} values against {b.size}")
    d = b - a
    # Values such as 0.8 - 0.7 and 0.9 - 0.8 differ in the last bit only; that is no variance to test.
    if np.ptp(d) <= 8 * np.finfo(float).eps * max(np.abs(a).max(), np.abs(b).max()):
        d = np.full_like(d, d[0])
    difference = mean_interval([float(v) for v in d], level)
    if d.size < 2:
        return PairedDifference(difference, None, None, None)
    p_t = None
    if difference.interval is not None:
        from scipy.special import stdtr

        t = float(d.mean()) / (float(d.std(ddof=1)) / math.sqrt(d.size))
        p_t = float(2 * stdtr(d.size - 1, -abs(t)))
    return PairedDifference(difference, p_t, sign_flip(d, generator), 2.0 ** (1 - d.size))


def sign_flip(differences: Floats, generator: np.random.Generator | None = None) -> float:
    """Returns the two-sided p of the sign-flip permutation test that the mean difference is zero.

    Exact for up to 16 differences (every sign pattern is tried); beyond, 100,000 patterns are drawn and
    the observed one is counted in (Phipson and Smyth, 2010), so that p is never zero.

    Args:
        differences: Shape (n,).
        generator: Needed for n > 16.

    Raises:
        ValueError: If n > 16 and no generator is given.
    """
    n = differences.size
    observed = abs(float(differences.sum()))
    # Equal sums in another order of addition must count as equal.
    reach = observed - 1e-12 * float(np.abs(differences).sum())
    if n <= EXACT_UP_TO:
        bits = (np.arange(2**n)[:, None] >> np.arange(n)[None, :]) & 1
        return float(np.mean(np.abs((1 - 2.0 * bits) @ differences) >= reach))
    if generator is None:
        raise ValueError(f"a sign-flip test of {n} pairs (more than {EXACT_UP_TO}) draws: give a generator")
    hits = 0
    for start in range(0, FLIPS, 10_000):
        signs = 1 - 2.0 * generator.integers(0, 2, size=(min(10_000, FLIPS - start), n))
        hits += int((np.abs(signs @ differences) >= reach).sum())
    return (hits + 1) / (FLIPS + 1)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Corrects p-values for many comparisons, step-down (Holm, 1979); None stays None and is not counted.

    The corrected values keep the order of the input, control the family-wise error under any
    dependence, and never exceed 1.
    """
    known = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    result: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, i) in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - rank) * p))
        result[i] = highest
    return result


def wilson(correct: int, total: int, level: float = LEVEL) -> Estimate:
    """Returns an accuracy with Wilson's score interval (1927), which behaves near 0 and 1.

    Args:
        correct: Successes, 0 <= correct <= total.
        total: Trials; 0 gives an undefined value with a note.
        level: Coverage.
    """
    if not 0 <= correct <= total:
        raise ValueError(f"{correct} correct of {total} is impossible")
    if total == 0:
        return Estimate(None, note="no examples")
    from scipy.special import ndtri

    z2 = float(ndtri((1 + level) / 2)) ** 2
    share = correct / total
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = math.sqrt(z2 * (share * (1 - share) / total + z2 / (4 * total**2))) / (1 + z2 / total)
    low = 0.0 if correct == 0 else max(0.0, centre - half)
    high = 1.0 if correct == total else min(1.0, centre + half)
    return Estimate(share, low, high, n=total)


def resamples(n: int, count: int, generator: np.random.Generator) -> Iterator[Indices]:
    """Yields bootstrap resamples of ``n`` examples as index arrays (r, n) that sum up to ``count`` rows."""
    rows = max(1, _CHUNK // max(1, n))
    for start in range(0, count, rows):
        yield generator.integers(0, n, size=(min(rows, count - start), n), dtype=np.intp)


def bootstrap_interval(
    statistic: Callable[[Indices], Floats],
    n: int,
    generator: np.random.Generator,
    count: int = 1000,
    level: float = LEVEL,
) -> list[Estimate]:
    """Returns statistics of ``n`` examples with percentile intervals over ``count`` resamples.

    Resamples in which a statistic is undefined (NaN) are left out of its interval. A statistic that is
    the same in all resamples (a class whose three examples are all right, say) gets no interval.

    Args:
        statistic: Maps indices (R, n) to values (R, S); NaN where undefined.
        n: How many examples there are.
        generator: Draws the resamples.
        count: How many resamples.
        level: Coverage.

    Raises:
        ValueError: If there is no example or no resample.
    """
    if n < 1 or count < 1:
        raise ValueError(f"a bootstrap needs examples and resamples, got {n} and {count}")
    values = statistic(np.arange(n)[None, :])[0]
    drawn = np.concatenate([statistic(index) for index in resamples(n, count, generator)])
    result = []
    for value, column in zip(values, drawn.T, strict=True):
        column = column[np.isfinite(column)]
        if not np.isfinite(value):
            result.append(Estimate(None, n=n, note="undefined: no examples"))
        elif n == 1 or column.size == 0 or np.ptp(column) <= 1e-12 * max(1.0, abs(float(value))):
            result.append(Estimate(float(value), n=n, note="the same in every resample: no interval"))
        else:
            low, high = np.quantile(column, [(1 - level) / 2, (1 + level) / 2])
            result.append(Estimate(float(value), float(low), float(high), n=n))
    return result


def _checked(values: Sequence[float], level: float) -> Floats:
    """Returns the values as an array, or says what is wrong with them."""
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or x.size == 0:
        raise ValueError("an interval needs at least one value")
    if not np.isfinite(x).all():
        raise ValueError("an interval needs finite values; a run that diverged has no mean")
    if not 0 < level < 1:
        raise ValueError(f"the level must lie strictly between 0 and 1, not {level}")
    return x

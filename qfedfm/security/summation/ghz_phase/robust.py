"""Robust phase estimation. Kimmel, Low and Yoder, 2015, arXiv:1502.02677.

At level j = 0, 1, ... clients turn by 2^j θ_k mod 2π; of the 2^j values of S that the measured angle of 2^j S
allows, the one nearest to what the levels before said is taken. The error halves with each level, as long as
none takes the wrong value: level j does where its error e_j, radians, has |e_j - 2 e_(j-1)| ≥ π.

Shapes: d = parameters, L = levels.
"""

from __future__ import annotations

from bisect import bisect_left
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from qfedfm.core.errors import RequestError
from qfedfm.security.summation.binomial import CHUNK
from qfedfm.security.summation.ghz_phase.sampling import Values, phases, wrapped

LEVELS = 8
#: Parameters in a thousand that may end at a wrong value, at most.
LARGEST_RATE = 1e-3
_CHOICES = tuple(range(24, 129, 8)) + tuple(range(160, 1025, 32))
_BINS = 4096
_PHASES = 16


def robust_phases(
    sums: Values, visibility: float, shots: int, rng: np.random.Generator, levels: int = LEVELS
) -> Values:
    """Returns the estimates of S, shape (d,), in [-π, π): 2 · levels · shots states for each parameter.

    Args:
        sums: S, shape (d,), radians.
        visibility: V.
        shots: States for each quadrature of each level.
        rng: Source of outcomes.
        levels: L.
    """
    found = np.empty(len(sums))
    for start in range(0, len(sums), CHUNK):
        part = sums[start : start + CHUNK]
        measured = [phases(2.0**level * part, visibility, shots, rng) for level in range(levels)]
        found[start : start + CHUNK] = combine(np.stack(measured))
    return found


def combine(measured: Values) -> Values:
    """Returns S, shape (d,), in [-π, π), from the measured angles of its multiples, shape (L, d)."""
    estimate = measured[0]
    for level in range(1, len(measured)):
        estimate = estimate + wrapped(measured[level] - 2.0**level * estimate) / 2.0**level
    return wrapped(estimate)


def wrong_turn(visibility: float, shots: int) -> float:
    """Returns the probability that one level picks a wrong value, averaged over S.

    From the exact distribution of both levels' counts; angles in bins of 2π/4096.
    """
    edges = np.linspace(-np.pi, np.pi, _BINS + 1)
    centres = (edges[:-1] + edges[1:]) / 2
    total = 0.0
    for phase in (np.arange(_PHASES) + 0.5) * (2.0 * np.pi / _PHASES):
        before = _errors(float(phase), visibility, shots)
        below = np.concatenate([[0.0], np.cumsum(_errors(2.0 * float(phase), visibility, shots))])
        inside = np.interp(2 * centres + np.pi, edges, below) - np.interp(2 * centres - np.pi, edges, below)
        total += float(before @ (1.0 - inside))
    return max(0.0, total / _PHASES)


def outlier_rate(visibility: float, shots: int, levels: int = LEVELS) -> float:
    """Returns a bound of the part of parameters that end at a wrong value (the levels' chances added)."""
    return (levels - 1) * wrong_turn(visibility, shots)


@lru_cache(maxsize=64)
def shots_for(visibility: float, levels: int = LEVELS) -> int:
    """Returns the fewest shots for each quadrature of each level with which wrong turns do no harm.

    They do none where they add less than a quarter to the mean square error of the last level.

    Raises:
        RequestError: No number up to 1,024 is enough.
    """
    cost = sum((2.0 * np.pi / 2.0**level) ** 2 for level in range(1, levels))

    def enough(shots: int) -> bool:
        square = (1.0 - visibility**2 / 4) / (shots * visibility**2) / 4.0 ** (levels - 1)
        return shots * visibility**2 >= 8 and wrong_turn(visibility, shots) * cost <= square / 4

    place = bisect_left(_CHOICES, True, key=enough)
    if place < len(_CHOICES):
        return _CHOICES[place]
    raise RequestError(
        f"security.sum.robust: with visibility {visibility:.3g} more than {_CHOICES[-1]:,} shots a level are "
        "needed; use more clusters, less noise, or robust false"
    )


def check_plan(visibility: float, shots: int, levels: int = LEVELS) -> None:
    """Refuses shots with which too many parameters end at a wrong value.

    Raises:
        RequestError: More than 1 in 1,000; says how many shots would do.
    """
    rate = outlier_rate(visibility, shots, levels)
    if rate > LARGEST_RATE:
        raise RequestError(
            f"security.sum.shots: with {shots} shots a level and visibility {visibility:.3g}, {rate:.1%} of "
            f"the parameters would end at a wrong value (at most {LARGEST_RATE:.1%}); use "
            f"{shots_for(visibility, levels)} shots, or leave shots out"
        )


def _errors(phase: float, visibility: float, shots: int) -> NDArray[np.float64]:
    """Returns the distribution of a level's error over bins, shape (bins,)."""
    from scipy.stats import binom

    counts = np.arange(shots + 1)
    chances = [
        binom.pmf(counts, shots, (1 + visibility * wave) / 2) for wave in (np.cos(phase), np.sin(phase))
    ]
    joint = chances[0][:, None] * chances[1][None]
    mean = 2.0 * counts / shots - 1.0
    error = wrapped(np.arctan2(mean[None], mean[:, None]) - phase)
    kept = joint > 1e-14
    bins = np.minimum(((error[kept] + np.pi) * (_BINS / (2.0 * np.pi))).astype(np.int64), _BINS - 1)
    return np.bincount(bins, joint[kept], _BINS).astype(np.float64)

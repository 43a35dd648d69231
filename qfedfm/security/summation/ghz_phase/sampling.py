"""Measured phases from the exact formula of their distribution, vectorised over parameters.

Of N states measured in X, ``Binomial(N, (1 + V cos S) / 2)`` have even parity, of N measured with one Y
``Binomial(N, (1 + V sin S) / 2)``: that is the circuit's distribution, not an approximation of it.

Shapes: d = parameters.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qfedfm.security.summation.binomial import CHUNK, binomial

Values = NDArray[np.float64]


def quadratures(sums: Values, visibility: float, shots: int, rng: np.random.Generator) -> Values:
    """Returns the mean parities in X and with one Y, shape (2, d).

    Args:
        sums: S, shape (d,), radians.
        visibility: V.
        shots: N, states for each of the two.
        rng: Source of outcomes.
    """
    found = np.empty((2, len(sums)))
    for start in range(0, len(sums), CHUNK):
        part = sums[start : start + CHUNK]
        for row, wave in enumerate((np.cos(part), np.sin(part))):
            even = binomial(shots, 0.5 + (0.5 * visibility) * wave, rng)
            found[row, start : start + CHUNK] = even * (2.0 / shots) - 1.0
    return found


def phases(sums: Values, visibility: float, shots: int, rng: np.random.Generator) -> Values:
    """Returns the estimates of S, shape (d,), in [-π, π]; see :func:`quadratures`."""
    found = np.empty(len(sums))
    for start in range(0, len(sums), CHUNK):
        x, y = quadratures(sums[start : start + CHUNK], visibility, shots, rng)
        found[start : start + CHUNK] = np.arctan2(y, x)
    return found


def variance(sums: Values, visibility: float, shots: int) -> Values:
    """Returns Var of the estimate of S, shape (d,), for N V² above about 25."""
    V = visibility
    return (1.0 - 0.5 * V**2 * np.sin(2.0 * sums) ** 2) / (shots * V**2)


def wrapped(angles: Values) -> Values:
    """Returns angles in [-π, π), same shape."""
    return (angles + np.pi) % (2.0 * np.pi) - np.pi

"""Binary entropy and the error rates at which a protocol's key is gone."""

from __future__ import annotations

import math
from collections.abc import Callable


def binary_entropy(p: float) -> float:
    """Returns h(p) in bits, for p in [0, 1]."""
    if p <= 0.0 or p >= 1.0:
        return 0.0
    return -p * math.log2(p) - (1 - p) * math.log2(1 - p)


def bb84_fraction(error: float, correction: float = 1.0) -> float:
    """Returns the asymptotic key a sifted bit, 1 - h(e) - f h(e); may be negative (Shor, Preskill, 2000)."""
    return 1.0 - (1.0 + correction) * binary_entropy(error)


def six_state_fraction(error: float, correction: float = 1.0) -> float:
    """Returns the asymptotic key per sifted bit of the six-state protocol; may be negative.

    Three bases determine the Bell-diagonal weights (1 - 3e/2, e/2, e/2, e/2), so Eve's entropy is their
    Shannon entropy less h(e) (Lo, 2001, quant-ph/0102138).
    """
    if error <= 0:
        return 1.0
    if error >= 2 / 3:
        return -1.0
    inside = (1 - 1.5 * error) / (1 - error)
    eve = error + (1 - error) * binary_entropy(inside)
    return 1.0 - eve - correction * binary_entropy(error)


def threshold(fraction: Callable[[float], float], high: float = 0.5) -> float:
    """Returns the error rate at which ``fraction`` falls to zero, by bisection to 1e-12."""
    low = 0.0
    while high - low > 1e-12:
        middle = (low + high) / 2
        low, high = (middle, high) if fraction(middle) > 0 else (low, middle)
    return (low + high) / 2


def chsh(error: float) -> float:
    """Returns S = 2 sqrt(2) (1 - 2e) of a Werner state whose error rate is e in both bases."""
    return 2 * math.sqrt(2) * (1 - 2 * error)

"""How numbers are written for people: counts, bytes, durations, shares, probabilities.

One place, so that the terminal, the report and the tables write the same number the same way. A
missing number is a dash, never a zero.
"""

from __future__ import annotations

import math

MISSING = "–"


def count(value: float | None) -> str:
    """Returns ``12 345`` (thousands apart by a narrow no-break space)."""
    if value is None or not math.isfinite(value):
        return MISSING
    return f"{value:,.0f}".replace(",", "\u202f")


def size(value: float | None) -> str:
    """Returns bytes in decimal units, ``1.23 MB``."""
    if value is None or not math.isfinite(value):
        return MISSING
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 999.5:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:,.3g} TB"


def duration(seconds: float | None) -> str:
    """Returns ``42 ms``, ``4.20 s``, ``12.3 s``, ``3 min 05 s`` or ``2 h 07 min``."""
    if seconds is None or not math.isfinite(seconds):
        return MISSING
    if seconds == 0:
        return "0 s"
    if seconds < 0.9995:
        return f"{1000 * seconds:.3g} ms"
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def decimal(value: float | None, digits: int = 3) -> str:
    """Returns a share or a loss with a fixed number of digits, ``0.842``."""
    if value is None or not math.isfinite(value):
        return MISSING
    return f"{value:.{digits}f}".replace("-", "\u2212")


def signed(value: float | None, digits: int = 3) -> str:
    """Returns a difference with its sign, ``+0.012``."""
    if value is None or not math.isfinite(value):
        return MISSING
    return f"{value:+.{digits}f}".replace("-", "\u2212")


def interval(low: float | None, high: float | None, digits: int = 3) -> str:
    """Returns ``[0.812, 0.861]``, or a dash where there is none."""
    if low is None or high is None:
        return MISSING
    return f"[{decimal(low, digits)}, {decimal(high, digits)}]"


def probability(value: float | None) -> str:
    """Returns a p-value with three digits; below 0.001 it says so."""
    if value is None or not math.isfinite(value):
        return MISSING
    return "< 0.001" if value < 0.0005 else f"{value:.3f}"

"""How the costs of sum protocols grow: exponents fitted to measured points, beside those of the formulas.

Shapes: d = numbers of an update, K = clients, N = shots, p = total Pauli error probability of a qubit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

COSTS = ("upload_bytes", "download_bytes", "key_bits", "qubits", "shots", "seconds", "relative_rmse")
LARGEST = 4
"""Points that a line is fitted to: the largest, where the leading term rules."""


class Growth(NamedTuple):
    """A formula, and the exponents of its leading term for large K and d.

    Args:
        formula: In K and d.
        clients: Exponent over K at fixed d.
        size: Exponent over d at fixed K.
    """

    formula: str
    clients: float | None
    size: float | None


_MASKS = {
    "upload_bytes": Growth("b d/8 + c K", 0, 1),
    "download_bytes": Growth("c K", 1, 0),
    "seconds": Growth("c K² d + c' K²", 2, 1),
    "relative_rmse": Growth("c K/2^b", 1, 0),
}
FORMULAS: dict[str, dict[str, Growth]] = {
    "plain": {
        "upload_bytes": Growth("4 d", 0, 1),
        "seconds": Growth("c K d", 1, 1),
        "relative_rmse": Growth("2^-24", 0, 0),
    },
    "masks": _MASKS,
    "masks, qkd": _MASKS | {"key_bits": Growth("256 (K - 1)", 1, 0)},
    "masks, pads": _MASKS | {"key_bits": Growth("(256 + b d) (K - 1)", 1, 1)},
    "masks, sparse": _MASKS
    | {
        "upload_bytes": Growth("b d/8 + c", 0, 1),
        "download_bytes": Growth("c + c' K", 1, 0),
        "seconds": Growth("c K d + c' K²", 2, 1),
    },
    "ckks": {
        "upload_bytes": Growth("57 d, in steps of 4,096 numbers", 0, 1),
        "download_bytes": Growth("c d/K (to decryptors)", -1, 1),
        "seconds": Growth("c K d", 1, 1),
        "relative_rmse": Growth("c √K flooding", 0.5, 0),
    },
    "ghz_phase": {
        "qubits": Growth("K", 1, 0),
        "shots": Growth("2 N d", 0, 1),
        "seconds": Growth("c K d + c' d", 1, 1),
        "relative_rmse": Growth("c √K/(V √N)", 0.5, 0),
    },
    "qft_sum": {
        "qubits": Growth("2 b", 0, 0),
        "shots": Growth("d", 0, 1),
        "seconds": Growth("c K d", 1, 1),
        "relative_rmse": Growth("c K/2^b", 1, 0),
    },
}
"""Per protocol and cost what theory says; seconds are those of all parties, or of the simulation."""


def formulas(options: Mapping[str, Any]) -> dict[str, Growth]:
    """Returns the formulas of a protocol, from its options."""
    kind = str(options["kind"])
    if kind == "masks":
        if options.get("neighbours"):
            kind = "masks, sparse"
        elif options.get("keys") == "qkd":
            kind = "masks, pads" if options.get("masks") == "pads" else "masks, qkd"
    return FORMULAS.get(kind, {})


def exponent(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Returns p of ``y ∝ x^p`` by least squares of the logarithms; null where a number is not positive."""
    if min(*x, *y) <= 0 or len(set(x)) < 2:
        return None
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def scaling(points: Iterable[Mapping[str, Any]], growth: Mapping[str, Growth]) -> list[dict[str, Any]]:
    """Returns the exponents of one protocol's costs over K and over d, the other held.

    The other is held where most points lie (of several such lines the one at its largest value); lines of
    fewer than three points are not fitted.

    Args:
        points: One protocol's, as mappings.
        growth: What theory says, by cost.
    """
    points = list(points)
    rows: list[dict[str, Any]] = []
    for over, fixed in (("clients", "size"), ("size", "clients")):
        lines: dict[int, list[Mapping[str, Any]]] = {}
        for p in sorted(points, key=lambda p: int(p[over])):
            lines.setdefault(p[fixed], []).append(p)
        held = max(lines, key=lambda value: (len(lines[value]), value), default=None)
        if held is None or len(lines[held]) < 3:
            continue
        line = lines[held][-LARGEST:]
        for cost in COSTS:
            found = exponent([float(p[over]) for p in line], [float(p[cost]) for p in line])
            if found is None:
                continue
            known = growth.get(cost)
            rows.append(
                {
                    "protocol": line[0]["protocol"],
                    "cost": cost,
                    "over": over,
                    fixed: held,
                    "from": line[0][over],
                    "to": line[-1][over],
                    "exponent": round(found, 2) + 0.0,
                    "expected": getattr(known, over) if known else None,
                    "formula": known.formula if known else "",
                }
            )
    return rows


class _Sweep(NamedTuple):
    """The cost that an option moves, and the number that it is a power of."""

    cost: str
    base: Callable[[float], float]
    variable: str
    formula: str
    expected: float | None


_SWEPT = {
    "shots": _Sweep("relative_rmse", lambda shots: shots, "N", "c/√N", -0.5),
    "depolarizing": _Sweep(
        "relative_rmse", lambda p: 1 - 4 * p / 3, "1 - 4p/3", "c/V = c (1 - 4p/3)^-K", None
    ),
    "loss": _Sweep("states", lambda loss: 1 - loss, "1 - loss", "2 N d (1 - loss)^-K", None),
}


def swept_scaling(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns the exponents of GHZ sweeps over shots, noise and loss.

    Args:
        rows: Points with ``over`` (the option) and ``value``.
    """
    found = []
    for over, (cost, base, variable, formula, expected) in _SWEPT.items():
        line = [row for row in rows if row["over"] == over]
        if len(line) < 3:
            continue
        fitted = exponent([base(float(row["value"])) for row in line], [float(row[cost]) for row in line])
        if fitted is None:
            continue
        clients = line[0]["clients"]
        found.append(
            {
                "protocol": line[0]["protocol"],
                "cost": cost,
                "over": variable,
                "size": line[0]["size"],
                "clients": clients,
                "from": line[0]["value"],
                "to": line[-1]["value"],
                "exponent": round(fitted, 2) + 0.0,
                "expected": -clients if expected is None else expected,
                "formula": formula,
            }
        )
    return found


def theory(row: Mapping[str, Any]) -> str:
    """Returns the expected exponent as text; empty where there is no formula."""
    expected = row["expected"]
    return "" if expected is None else f"{expected:g}"

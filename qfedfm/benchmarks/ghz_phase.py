"""The GHZ sampler on one core beside numpy's binomial numbers.

Shapes: d = parameters, N = shots a quadrature.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from qfedfm.benchmarks.timing import interleaved
from qfedfm.core.random import Streams
from qfedfm.security.summation.binomial import CHUNK
from qfedfm.security.summation.ghz_phase.sampling import Values, phases

SHOTS = (1_024, 4_096, 65_536)
SPREADS = {"uniform on the circle": np.pi, "near 0": 0.1}


def measure(size: int = 1_000_000, seconds: float = 2.0) -> list[dict[str, Any]]:
    """Returns a row for each N and spread of the sums: rates of measured phases, ratio to the peer.

    Args:
        size: d.
        seconds: How long both sides take turns.
    """
    rows = []
    for shots in SHOTS:
        for name, spread in SPREADS.items():
            sums = Streams(0)("sums", name).uniform(-spread, spread, size)
            ours, theirs = Streams(0)("ours"), Streams(0)("theirs")
            found = interleaved(
                {
                    "sampler": lambda s=sums, n=shots, r=ours: phases(s, 0.9, n, r),  # type: ignore[misc]
                    "numpy": lambda s=sums, n=shots, r=theirs: numpy_phases(s, 0.9, n, r),  # type: ignore[misc]
                },
                seconds,
                least=3,
            )
            rows.append(
                {
                    "parameters": size,
                    "shots": shots,
                    "sums": name,
                    "quadratures_per_second": 2 * size / found["sampler"],
                    "asked_for": 1e7,
                    "numpy_quadratures_per_second": 2 * size / found["numpy"],
                    "over_numpy": found["numpy"] / found["sampler"],
                }
            )
    return rows


def numpy_phases(sums: Values, visibility: float, shots: int, rng: np.random.Generator) -> Values:
    """Returns what :func:`phases` does, the counts from ``Generator.binomial``: the peer."""
    found = np.empty(len(sums))
    for start in range(0, len(sums), CHUNK):
        part = sums[start : start + CHUNK]
        x = rng.binomial(shots, 0.5 + (0.5 * visibility) * np.cos(part)) * (2.0 / shots) - 1.0
        y = rng.binomial(shots, 0.5 + (0.5 * visibility) * np.sin(part)) * (2.0 / shots) - 1.0
        found[start : start + CHUNK] = np.arctan2(y, x)
    return found

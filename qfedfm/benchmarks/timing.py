"""Timing two or more sides of a ratio so that a busy machine slows all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping


def interleaved(
    sides: Mapping[str, Callable[[], object]], seconds: float = 4.0, least: int = 5
) -> dict[str, float]:
    """Returns each side's median seconds a call; the sides take turns in one process.

    In every turn a side is called as often as it takes to last about as long as the slowest side does once
    (at most 50 times), so that all of them see the same disturbances.

    Args:
        sides: What is timed, by name; each is called twice beforehand.
        seconds: Turns are taken until this much time has passed.
        least: Turns at least.
    """
    once = {}
    for name, call in sides.items():
        call()
        began = time.perf_counter()
        call()
        once[name] = time.perf_counter() - began
    slowest = max(once.values())
    repeats = {name: max(1, min(50, round(0.3 * slowest / took))) for name, took in once.items()}
    samples: dict[str, list[float]] = {name: [] for name in sides}
    end = time.perf_counter() + seconds
    turns = 0
    while turns < least or time.perf_counter() < end:
        for name, call in sides.items():
            for _ in range(repeats[name]):
                began = time.perf_counter()
                call()
                samples[name].append(time.perf_counter() - began)
        turns += 1
    return {name: statistics.median(values) for name, values in samples.items()}

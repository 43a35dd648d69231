"""Quantum-behaved particle swarm: maximises a function over a box. Sun, Feng and Xu, 2004, CEC, 325–331.

Each particle is drawn from the ground state of a potential well around a point between its own best and the
swarm's; its width is the distance to the mean of all bests, times a β that falls from 1 to ½:

    x = φ P_i + (1 − φ) G ± β |M − x| ln(1/u),   φ, u uniform in (0, 1)

For a few numbers whose score is costly and has no gradient. The "quantum" is in the sampling only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Point = NDArray[np.float64]


@dataclass(frozen=True)
class Best:
    """What a swarm found.

    Args:
        point: Shape (n,), in the box.
        score: There.
        evaluations: Scores computed.
    """

    point: Point
    score: float
    evaluations: int


def maximise(
    score: Callable[[Point], float],
    start: Point,
    low: Point,
    high: Point,
    rng: np.random.Generator,
    *,
    particles: int = 8,
    iterations: int = 8,
) -> Best:
    """Returns the best point seen; never worse than the start, which the first particle stands on.

    Args:
        score: Higher is better.
        start: Shape (n,); kept unless another point scores higher, so ties change nothing.
        low: Lower ends of the box, shape (n,).
        high: Upper ends, shape (n,).
        rng: Source of randomness.
        particles: How many, the start included.
        iterations: Moves of all particles.
    """
    place = rng.uniform(low, high, (particles, len(start)))
    place[0] = start
    own = place.copy()
    values = np.array([score(point) for point in place])
    best = int(values.argmax())
    top, top_value = own[best].copy(), float(values[best])
    for iteration in range(iterations):
        beta = 1.0 - 0.5 * iteration / max(iterations - 1, 1)
        mean = own.mean(axis=0)
        share = rng.random(place.shape)
        well = share * own + (1.0 - share) * top
        width = beta * np.abs(mean - place) * np.log(1.0 / (1.0 - rng.random(place.shape)))
        place = np.clip(well + rng.choice([-1.0, 1.0], place.shape) * width, low, high)
        for i, point in enumerate(place):
            value = score(point)
            if value > values[i]:
                own[i], values[i] = point, value
                if value > top_value:
                    top, top_value = point.copy(), float(value)
    return Best(top, top_value, particles * (iterations + 1))

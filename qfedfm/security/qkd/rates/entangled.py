"""BBM92 and E91 with a pair source in the middle. Ma, Fung, Lo, 2007, doi:10.1103/PhysRevA.76.012307."""

from __future__ import annotations

import math
from functools import lru_cache

from scipy.optimize import minimize_scalar

from qfedfm.security.qkd.entropy import bb84_fraction, chsh
from qfedfm.security.qkd.rates.point import RatePoint
from qfedfm.security.qkd.rates.presets import LinkParameters


def coincidences(link: LinkParameters, distance: float, pairs: float) -> tuple[float, float]:
    """Returns (gain, error rate) of a down-conversion source that emits ``2 * pairs`` pairs on average.

    The source stands in the middle: each photon crosses half of the loss.
    """
    eta = math.sqrt(link.channel(distance)) * link.receiver_efficiency
    background, wrong = link.background, link.misalignment
    alone = 1 + eta * pairs
    both = 1 + 2 * eta * pairs - eta**2 * pairs
    gain = 1 - 2 * (1 - background) / alone**2 + (1 - background) ** 2 / both**2
    right = 2 * (0.5 - wrong) * eta**2 * pairs * (1 + pairs) / (alone**2 * both)
    return gain, 0.5 - right / gain


def bbm92(link: LinkParameters, distance: float, pairs: float | None = None) -> RatePoint:
    """Returns the rate per pump pulse with the best brightness, or with a given one.

    Security does not rest on the source, so no decoys are needed: the error rates of both bases are seen.
    """
    if pairs is None:
        pairs = _best_brightness(link, distance)
    gain, error = coincidences(link, distance, pairs)
    rate = link.sifting * gain * max(0.0, bb84_fraction(error, link.correction))
    details = {"pairs_per_pulse": 2 * pairs, "chsh": chsh(error)}
    return RatePoint("e91", distance, rate, error, gain, gain, error, details)


@lru_cache(maxsize=4096)
def _best_brightness(link: LinkParameters, distance: float) -> float:
    def loss(logarithm: float) -> float:
        gain, error = coincidences(link, distance, math.exp(logarithm))
        fraction = bb84_fraction(error, link.correction)
        return -gain * fraction if fraction > 0 else -fraction

    found = minimize_scalar(loss, bounds=(math.log(1e-4), math.log(0.5)), method="bounded")
    return math.exp(float(found.x))

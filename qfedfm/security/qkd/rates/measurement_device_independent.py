"""MDI-QKD with two decoys. Lo, Curty, Qi, 2012; Xu, Xu, Lo, 2014, doi:10.1103/PhysRevA.89.052333.

The relay stands in the middle. Gains follow Ma, Razavi, 2012 (doi:10.1103/PhysRevA.86.062319); the bounds on
single-photon pairs are the analytical ones of Xu, Curty, Qi, Lo, 2013 (doi:10.1088/1367-2630/15/11/113007).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy.optimize import minimize

from qfedfm.security.qkd.entropy import binary_entropy
from qfedfm.security.qkd.rates.point import RatePoint
from qfedfm.security.qkd.rates.presets import LinkParameters


def arm(link: LinkParameters, distance: float) -> float:
    """Returns the detection probability of a photon that crosses half of the distance."""
    return math.sqrt(link.channel(distance)) * link.receiver_efficiency


def _click(dark: float, mean: float) -> float:
    """Returns the probability of a click from ``mean`` photons; exact where both are tiny."""
    return dark - (1 - dark) * math.expm1(-mean)


def _bessel_excess(x: float) -> float:
    """Returns I0(x) - 1 by its series, exact to rounding; for x of order 1."""
    quarter, term, total, k = x * x / 4, 1.0, 0.0, 0
    while term > 1e-18 * total:
        k += 1
        term *= quarter / k**2
        total += term
    return total


# Bounds are differences of gains of a few 1e-10: written out as in the paper, I0 and exponentials of nearly 1
# would cancel and cost all but three digits of them.


def gains_z(link: LinkParameters, eta: float, a: float, b: float) -> tuple[float, float]:
    """Returns (Q, EQ) in the rectilinear basis for intensities a and b."""
    dark, wrong = link.dark_count, link.misalignment
    both = eta * (a + b)
    base = 2 * (1 - dark) ** 2 * math.exp(-both / 2)
    right = base * _click(dark, eta * a / 2) * _click(dark, eta * b / 2)
    false = base * dark * (_bessel_excess(eta * math.sqrt(a * b)) + _click(dark, both / 2))
    return right + false, wrong * right + (1 - wrong) * false


def gains_x(link: LinkParameters, eta: float, a: float, b: float) -> tuple[float, float]:
    """Returns (Q, EQ) in the diagonal basis for intensities a and b."""
    x = eta * math.sqrt(a * b) / 2
    missed = _click(link.dark_count, eta * (a + b) / 4)
    y = 1 - missed
    once, twice = _bessel_excess(x), _bessel_excess(2 * x)
    gain = 2 * y**2 * (2 * missed**2 + twice - 4 * y * once)  # 1 + 2 y^2 - 4 y I0(x) + I0(2x)
    return gain, 0.5 * gain - 2 * (0.5 - link.misalignment) * y**2 * twice


def single_pairs(link: LinkParameters, eta: float) -> tuple[float, float]:
    """Returns the true (yield, error rate) of single-photon pairs, what infinitely many decoys would show."""
    dark = link.dark_count
    clean = (1 - dark) ** 2
    y11 = clean * (eta**2 / 2 + (4 * eta - 3 * eta**2) * dark + 4 * (1 - eta) ** 2 * dark**2)
    errors = 0.5 * y11 - (0.5 - link.misalignment) * clean * eta**2 / 2
    return y11, errors / y11


def bounded_pairs(
    link: LinkParameters, eta: float, mu: float, nu: float, omega: float
) -> tuple[float, float]:
    """Returns (lower bound on Y11 in Z, upper bound on e11 in X) from decoys mu > nu > omega >= 0."""

    def yields(basis: int, part: int) -> tuple[float, float]:
        gains = (gains_z, gains_x)[basis]

        def total(a: float, b: float) -> float:
            return math.exp(a + b) * gains(link, eta, a, b)[part]

        near = total(nu, nu) + total(omega, omega) - total(nu, omega) - total(omega, nu)
        far = total(mu, mu) + total(omega, omega) - total(mu, omega) - total(omega, mu)
        return near, far

    def lower(basis: int) -> float:
        near, far = yields(basis, 0)
        top = (mu**2 - omega**2) * (mu - omega) * near - (nu**2 - omega**2) * (nu - omega) * far
        return top / ((mu - omega) ** 2 * (nu - omega) ** 2 * (mu - nu))

    y11 = lower(0)
    y11_x = lower(1)
    if y11 <= 0 or y11_x <= 0:
        return 0.0, 0.5
    errors, _ = yields(1, 1)
    return y11, min(0.5, max(0.0, errors / ((nu - omega) ** 2 * y11_x)))


def mdi(
    link: LinkParameters, distance: float, intensities: tuple[float, float, float] | None = None
) -> RatePoint:
    """Returns the asymptotic rate with two decoys.

    Args:
        link: The link; detectors stand at the relay.
        distance: Kilometres between the two parties.
        intensities: (signal, decoy, weakest); the best signal with decoys 0.01 and 0 by default.
    """
    if intensities is None:
        intensities = (_best_signal(link, distance), 0.01, 0.0)
    mu, nu, omega = intensities
    eta = arm(link, distance)
    gain, errors = gains_z(link, eta, mu, mu)
    qber = errors / gain
    y11, e11 = bounded_pairs(link, eta, mu, nu, omega)
    secret = mu**2 * math.exp(-2 * mu) * y11 * (1 - binary_entropy(e11))
    rate = max(0.0, secret - gain * link.correction * binary_entropy(qber))
    return RatePoint("mdi", distance, rate, qber, gain, y11, e11, {"intensities": list(intensities)})


@lru_cache(maxsize=4096)
def _best_signal(link: LinkParameters, distance: float) -> float:
    def loss(logarithm: np.ndarray) -> float:
        mu = 0.02 + math.exp(float(logarithm[0]))
        return -math.log(max(mdi(link, distance, (mu, 0.01, 0.0)).key_rate_per_pulse, 1e-30))

    grid = np.linspace(math.log(0.03), math.log(0.8), 12)
    start = min(grid, key=lambda value: loss(np.array([value])))
    found = minimize(loss, np.array([start]), method="Nelder-Mead", options={"xatol": 1e-3, "maxfev": 60})
    return 0.02 + math.exp(float(found.x[0]))

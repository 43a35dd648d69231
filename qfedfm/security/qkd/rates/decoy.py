"""Decoy-state BB84, asymptotic. Ma, Qi, Zhao, Lo, 2005, doi:10.1103/PhysRevA.72.012326."""

from __future__ import annotations

import math

from qfedfm.core.errors import RequestError
from qfedfm.security.qkd.entropy import binary_entropy
from qfedfm.security.qkd.rates.point import RatePoint
from qfedfm.security.qkd.rates.presets import LinkParameters


def gain_and_errors(link: LinkParameters, distance: float, intensity: float) -> tuple[float, float]:
    """Returns (Q, EQ) of pulses of mean photon number ``intensity``."""
    clicks = -math.expm1(-link.efficiency(distance) * intensity)
    return link.background + clicks, 0.5 * link.background + link.misalignment * clicks


def _point(
    link: LinkParameters, distance: float, y1: float, e1: float, details: dict[str, float]
) -> RatePoint:
    mu = link.intensities[0]
    gain, errors = gain_and_errors(link, distance, mu)
    qber = errors / gain if gain else 0.5
    y1, e1 = max(0.0, y1), min(max(e1, 0.0), 0.5)
    secret = y1 * mu * math.exp(-mu) * (1 - binary_entropy(e1))
    rate = max(0.0, link.sifting * (secret - gain * link.correction * binary_entropy(qber)))
    return RatePoint("decoy-bb84", distance, rate if y1 > 0 else 0.0, qber, gain, y1, e1, details)


def infinite_decoys(link: LinkParameters, distance: float) -> RatePoint:
    """Returns the rate if the single-photon yield and error are known exactly."""
    eta, background = link.efficiency(distance), link.background
    y1 = background + eta - background * eta
    e1 = (0.5 * background + link.misalignment * eta) / y1 if y1 else 0.5
    return _point(link, distance, y1, e1, {})


def vacuum_weak(link: LinkParameters, distance: float) -> RatePoint:
    """Returns the rate with one weak decoy and the vacuum (their eqs. 34 and 37)."""
    mu, nu = link.intensities[:2]
    if not 0 < nu < mu:
        raise RequestError(f"the decoy intensity {nu:g} must lie between 0 and the signal's {mu:g}")
    background = link.background
    q_mu, _ = gain_and_errors(link, distance, mu)
    q_nu, eq_nu = gain_and_errors(link, distance, nu)
    y1 = (
        mu
        / (mu * nu - nu**2)
        * (q_nu * math.exp(nu) - q_mu * math.exp(mu) * nu**2 / mu**2 - (mu**2 - nu**2) / mu**2 * background)
    )
    e1 = (eq_nu * math.exp(nu) - 0.5 * background) / (y1 * nu) if y1 > 0 else 0.5
    return _point(link, distance, y1, e1, {"decoy_gain": q_nu})

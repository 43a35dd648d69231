"""BB84 and six-state with a single-photon source, asymptotic. Shor, Preskill, 2000; Lo, 2001."""

from __future__ import annotations

from qfedfm.security.qkd.entropy import bb84_fraction, six_state_fraction
from qfedfm.security.qkd.rates.point import RatePoint
from qfedfm.security.qkd.rates.presets import LinkParameters


def single_photon(link: LinkParameters, distance: float) -> tuple[float, float]:
    """Returns (yield, error rate) of a single photon over ``distance`` kilometres."""
    eta, background = link.efficiency(distance), link.background
    gain = background + eta - background * eta
    return gain, (0.5 * background + link.misalignment * eta) / gain if gain else 0.5


def bb84(link: LinkParameters, distance: float) -> RatePoint:
    """Returns the rate of BB84: q Y1 (1 - h(e) - f h(e))."""
    gain, error = single_photon(link, distance)
    rate = link.sifting * gain * max(0.0, bb84_fraction(error, link.correction))
    return RatePoint("bb84", distance, rate, error, gain, gain, error)


def six_state(link: LinkParameters, distance: float) -> RatePoint:
    """Returns the rate of the six-state protocol; a third of the pulses survive sifting, not half."""
    gain, error = single_photon(link, distance)
    rate = link.sifting * 2 / 3 * gain * max(0.0, six_state_fraction(error, link.correction))
    return RatePoint("six-state", distance, rate, error, gain, gain, error)

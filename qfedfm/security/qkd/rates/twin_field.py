"""Twin-field QKD. Curty, Azuma, Lo, 2019, doi:10.1038/s41534-019-0175-6.

Both parties send weak coherent states whose phase carries the bit (X); phase errors are bounded by the yields
of photon-number states (Z), which decoys show. Yields here are those of the channel model, as with infinitely
many decoys.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy.optimize import minimize_scalar

from qfedfm.security.qkd.entropy import binary_entropy
from qfedfm.security.qkd.rates.point import RatePoint
from qfedfm.security.qkd.rates.presets import LinkParameters

CUT = 12
"""Photon numbers up to here are summed exactly; beyond, yields are bounded by 1."""


def _overlap(link: LinkParameters) -> float:
    """Cos of the angle between the two parties' modes at the relay, from the misalignment of one photon.

    A photon of each party that is turned by theta/2 meets the wrong detector with probability
    sin^2(theta/2) = e_d.
    """
    return 1 - 2 * link.misalignment


def bit_gain(link: LinkParameters, eta: float, intensity: float) -> tuple[float, float]:
    """Returns (probability of exactly one given click, bit error rate) of the coherent states."""
    gamma, turn, dark = eta * intensity, _overlap(link), link.dark_count
    quiet = (1 - dark) * math.exp(-gamma)
    gain = (
        0.5 * (1 - dark) * math.exp(-gamma) * (math.exp(-gamma * turn) + math.exp(gamma * turn) - 2 * quiet)
    )
    wrong = math.exp(-gamma * turn) - quiet
    both = math.exp(-gamma * turn) + math.exp(gamma * turn) - 2 * quiet
    return gain, wrong / both if both > 0 else 0.5


@lru_cache(maxsize=256)
def _only_one_port(turn: float) -> np.ndarray:
    """P[k, l]: k and l photons that meet at the beam splitter all leave by one given port, (CUT+1, CUT+1).

    With modes u and v of overlap cos t, the part without photons in the other port has the squared norm
    sum_j C(l, j)^2 cos^2j sin^2(l-j) (k+j)! (l-j)! / (2^(k+l) k! l!).
    """
    table = np.zeros((CUT + 1, CUT + 1))
    cos2, sin2 = turn**2, 1 - turn**2
    for k in range(CUT + 1):
        for n in range(CUT + 1):
            total = sum(
                math.comb(n, j) ** 2
                * cos2**j
                * sin2 ** (n - j)
                * math.factorial(k + j)
                * math.factorial(n - j)
                for j in range(n + 1)
            )
            table[k, n] = total / (2 ** (k + n) * math.factorial(k) * math.factorial(n))
    return table


def yields(link: LinkParameters, eta: float) -> np.ndarray:
    """Returns p(one given click only | n, m photons sent), shape (CUT + 1, CUT + 1)."""
    arrive = np.zeros((CUT + 1, CUT + 1))
    for n in range(CUT + 1):
        for k in range(n + 1):
            arrive[n, k] = math.comb(n, k) * eta**k * (1 - eta) ** (n - k)
    ports = (1 - link.dark_count) * _only_one_port(_overlap(link)).copy()
    ports[0, 0] *= link.dark_count
    return np.minimum(1.0, arrive @ ports @ arrive.T)


def phase_error(link: LinkParameters, eta: float, intensity: float, gain: float) -> float:
    """Returns the bound on the phase error rate of the events with one given click."""
    n = np.arange(CUT + 1)
    factorials = np.array([math.sqrt(math.factorial(int(k))) for k in n])
    amplitude = math.exp(-intensity / 2) * math.sqrt(intensity) ** n / factorials
    root = np.sqrt(yields(link, eta))
    total = 0.0
    for parity in (0, 1):
        c = amplitude[parity::2]
        inner = float(c @ root[parity::2, parity::2] @ c)
        # Beyond the cut: the amplitudes that are left, with yields of 1.
        beyond = _tail(intensity, parity)
        inner += beyond * (2 * float(c.sum()) + beyond)
        total += inner**2
    return min(0.5, total / gain)


def _tail(intensity: float, parity: int) -> float:
    first = CUT + 1 if (CUT + 1) % 2 == parity else CUT + 2
    return math.exp(-intensity / 2) * sum(
        math.sqrt(intensity) ** k / math.sqrt(math.factorial(k)) for k in range(first, first + 40, 2)
    )


def twin_field(link: LinkParameters, distance: float, intensity: float | None = None) -> RatePoint:
    """Returns the rate with the best intensity of the key states, or with a given one."""
    eta = math.sqrt(link.channel(distance)) * link.receiver_efficiency
    if intensity is None:
        intensity = _best_intensity(link, distance)
    gain, error = bit_gain(link, eta, intensity)
    phase = phase_error(link, eta, intensity, gain)
    rate = 2 * gain * max(0.0, _fraction(link, error, phase))
    return RatePoint("tf", distance, rate, error, 2 * gain, 2 * gain, phase, {"intensity": intensity})


def _fraction(link: LinkParameters, error: float, phase: float) -> float:
    return 1 - link.correction * binary_entropy(error) - binary_entropy(phase)


@lru_cache(maxsize=4096)
def _best_intensity(link: LinkParameters, distance: float) -> float:
    eta = math.sqrt(link.channel(distance)) * link.receiver_efficiency

    def loss(logarithm: float) -> float:
        intensity = math.exp(logarithm)
        gain, error = bit_gain(link, eta, intensity)
        fraction = _fraction(link, error, phase_error(link, eta, intensity, gain))
        return -math.log(gain * fraction) if fraction > 0 else 100 - fraction

    grid = np.linspace(math.log(1e-4), math.log(0.5), 25)
    values = [loss(float(point)) for point in grid]
    at = int(np.argmin(values))
    low, high = float(grid[max(0, at - 1)]), float(grid[min(len(grid) - 1, at + 1)])
    return math.exp(float(minimize_scalar(loss, bounds=(low, high), method="bounded").x))

"""Protocols with a relay, against what is printed elsewhere and against derivations that share nothing.

Rates printed by Xu, Xu, Lo (2014) and by Curty, Azuma, Lo (2019) were not to be had.
MDI is pinned to the numbers that another implementation of the same formulas prints (``test/mdi.py`` of
github.com/plutoniumm/qkd, commit 266260f: three gains, a rate, a reach) and to the tolerance of 40 dB that
Lo, Curty, Qi (2012) state. Twin-field is pinned to equations (12) to (35) of its paper, evaluated a second
time from their definitions.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import i0

from qfedfm.security.qkd.entropy import binary_entropy
from qfedfm.security.qkd.rates import plob, rate, reach
from qfedfm.security.qkd.rates.measurement_device_independent import (
    arm,
    bounded_pairs,
    gains_x,
    gains_z,
    mdi,
    single_pairs,
)
from qfedfm.security.qkd.rates.presets import LinkParameters
from qfedfm.security.qkd.rates.twin_field import CUT, bit_gain, phase_error, yields

# Fig. 2 of Lo, Curty, Qi, 2012: Y0 = 6.02e-6 is the background of both detectors.
LO_CURTY_QI = LinkParameters(
    attenuation=0.2, receiver_efficiency=0.145, dark_count=3.01e-6, misalignment=0.015, correction=1.16
)
# Misalignment of 2 % for each party, dark counts of 1e-7, ideal error correction.
CURTY_AZUMA_LO = LinkParameters(
    attenuation=0.2, receiver_efficiency=1.0, dark_count=1e-7, misalignment=0.02, correction=1.0
)


# Measurement-device-independent


def best_of_the_sweep(distance: float) -> float:
    """The rate with decoys 0.005 and 0 and the best signal of 0.05, 0.10, ..., 1.20."""
    found = (mdi(LO_CURTY_QI, distance, (0.05 * k, 0.005, 0.0)).key_rate_per_pulse for k in range(1, 25))
    return max(found)


def test_mdi_rate_and_reach_printed_by_another_implementation():
    assert best_of_the_sweep(100) == pytest.approx(4.679772e-6, abs=5e-13)
    chosen = mdi(LO_CURTY_QI, 100, (0.55, 0.005, 0.0)).key_rate_per_pulse
    assert chosen == best_of_the_sweep(100)
    assert best_of_the_sweep(230.5378) > 0 == best_of_the_sweep(230.5380)


@pytest.mark.parametrize(("intensity", "ratio"), [(1e-5, 2.000001), (1e-3, 2.000050), (0.2, 2.010069)])
def test_mdi_gains_printed_by_another_implementation(intensity, ratio):
    dark = LO_CURTY_QI.model_copy(update={"dark_count": 0.0})
    found = gains_x(dark, 0.1, intensity, intensity)[0] / gains_z(dark, 0.1, intensity, intensity)[0]
    assert found == pytest.approx(ratio, abs=6e-7)


def test_mdi_tolerates_more_than_forty_decibels():
    kilometres = reach("mdi", LO_CURTY_QI)
    assert 40 < LO_CURTY_QI.loss(kilometres) < 46.1076  # the smaller decoy of the test above reaches further
    assert rate("mdi", LO_CURTY_QI, kilometres).key_rate_per_pulse < plob(LO_CURTY_QI.channel(kilometres))


@pytest.mark.parametrize("distance", [0, 50, 100, 150])
def test_two_decoys_are_nearly_as_good_as_infinitely_many(distance):
    eta, link = arm(LO_CURTY_QI, distance), LO_CURTY_QI
    y11, e11 = single_pairs(link, eta)
    gain, errors = gains_z(link, eta, 0.5, 0.5)
    limit = 0.25 * math.exp(-1) * y11 * (1 - binary_entropy(e11))
    limit -= gain * link.correction * binary_entropy(errors / gain)
    assert 0.9 < mdi(link, distance, (0.5, 0.005, 0.0)).key_rate_per_pulse / limit < 1


def clicks(*means: np.ndarray, dark: float) -> list[np.ndarray]:
    return [1 - (1 - dark) * np.exp(-mean) for mean in means]


def pair(first: np.ndarray, second: np.ndarray, quiet: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """The probability that two detectors click and the other two do not."""
    return first * second * (1 - quiet[0]) * (1 - quiet[1])


@pytest.mark.parametrize(("a", "b", "eta"), [(0.5, 0.5, 0.145), (0.5, 0.1, 0.3), (0.02, 0.005, 0.01)])
@pytest.mark.parametrize("dark", [0.0, 3e-6, 0.01])
def test_mdi_gains_are_those_of_four_detectors_averaged_over_the_phase(a, b, eta, dark):
    link = LO_CURTY_QI.model_copy(update={"dark_count": dark, "misalignment": 0.0})
    phase = 2 * np.pi * np.arange(256) / 256
    plus, minus = (
        eta * (a + b + s * 2 * math.sqrt(a * b) * np.cos(phase)) / 2 for s in (1, -1)
    )  # at the ports c and d where both are polarised alike
    # Rectilinear, unlike bits: nothing interferes, and one click of each polarisation is right.
    h, v = clicks(np.array(eta * a / 2), np.array(eta * b / 2), dark=dark)
    right = 4 * pair(h, v, (h, v)) / 2
    # Rectilinear, like bits: the other polarisation can only click in the dark.
    c, d = clicks(plus, minus, dark=dark)
    wrong = 2 * dark * (1 - dark) * (c * (1 - d) + d * (1 - c)).mean() / 2
    gain, errors = gains_z(link, eta, a, b)
    assert gain == pytest.approx(right + wrong, rel=1e-9) and errors == pytest.approx(wrong, rel=1e-9)
    # Diagonal: half of each pulse in each polarisation; unlike bits interfere the other way round in V.
    c, d = clicks(plus / 2, minus / 2, dark=dark)
    one_port, two_ports = pair(c, c, (d, d)) + pair(d, d, (c, c)), 2 * pair(c, d, (d, c))
    # Like bits meet the same way in both, so clicks at both ports are wrong; unlike bits swap that.
    gain, errors = gains_x(link, eta, a, b)
    assert gain == pytest.approx((one_port + two_ports).mean(), rel=1e-8)
    assert errors == pytest.approx(two_ports.mean(), rel=1e-8)


@pytest.mark.parametrize("decoy", [0.2, 0.05, 0.005])
def test_mdi_bounds_enclose_the_truth(decoy):
    eta = arm(LO_CURTY_QI, 100)
    y11, e11 = single_pairs(LO_CURTY_QI, eta)
    low, high = bounded_pairs(LO_CURTY_QI, eta, 0.5, decoy, 0.0)
    assert low < y11 and high > e11


# Twin-field


def port_yield(k: int, n: int, turn: float) -> float:
    """P(k and n photons leave by one port), from the creation operators of its two polarisations."""
    half = math.acos(turn) / 2
    u, v = np.array([math.cos(half), math.sin(half)]), np.array([math.cos(half), -math.sin(half)])
    state = np.array([1.0])
    for mode in [u] * k + [v] * n:
        state = np.convolve(state, mode / math.sqrt(2))
    norms = [math.factorial(j) * math.factorial(k + n - j) for j in range(k + n + 1)]
    return float(state**2 @ norms) / (math.factorial(k) * math.factorial(n))


def yield_from_its_definition(link: LinkParameters, eta: float, n: int, m: int) -> float:
    total = 0.0
    for k in range(n + 1):
        for j in range(m + 1):
            arrive = math.comb(n, k) * math.comb(m, j) * eta ** (k + j) * (1 - eta) ** (n + m - k - j)
            alone = port_yield(k, j, 1 - 2 * link.misalignment) if k + j else link.dark_count
            total += arrive * alone * (1 - link.dark_count)
    return total


@pytest.mark.parametrize("eta", [1e-4, 0.3, 1.0])
@pytest.mark.parametrize("misalignment", [0.0, 0.02, 0.1])
def test_twin_field_yields_follow_from_their_definition(eta, misalignment):
    link = CURTY_AZUMA_LO.model_copy(update={"misalignment": misalignment})
    table = yields(link, eta)
    for n in range(6):
        for m in range(6):
            assert table[n, m] == pytest.approx(yield_from_its_definition(link, eta, n, m), rel=1e-9)


def test_twin_field_yields_add_up_to_the_gain_of_pulses_without_phase():
    """Equations (32) and (33): the gain of phase-randomised pulses is the Poissonian mean of the yields."""
    link, eta = CURTY_AZUMA_LO, 0.2
    turn, dark, table, n = 1 - 2 * link.misalignment, link.dark_count, yields(link, eta), np.arange(CUT + 1)
    factorials = np.array([math.factorial(int(k)) for k in n], dtype=float)
    for a, b in [(0.1, 0.1), (0.3, 0.05), (0.02, 0.4)]:
        poisson = [math.exp(-x) * x**n / factorials for x in (a, b)]
        both, overlap = eta * (a + b), eta * math.sqrt(a * b) * turn
        quiet = math.exp(-both)
        gain = (1 - dark) * (dark * quiet + math.exp(-both / 2) * float(i0(overlap)) - quiet)
        assert poisson[0] @ table @ poisson[1] == pytest.approx(gain, rel=1e-9)


@pytest.mark.parametrize(("decibels", "expected"), [(40, 2.455088e-4), (60, 1.979491e-5)])
def test_twin_field_rates_are_those_of_the_papers_equations(decibels, expected):
    link, distance = CURTY_AZUMA_LO, decibels / 0.2
    found = rate("tf", link, distance)
    intensity, eta = found.details["intensity"], 10 ** (-decibels / 20)
    turn, dark, g = 1 - 2 * link.misalignment, link.dark_count, eta * found.details["intensity"]
    gain = (1 - dark) * (math.exp(-g) * math.cosh(g * turn) - (1 - dark) * math.exp(-2 * g))  # (30)
    error = (1 - dark) * (math.exp(-g - g * turn) - (1 - dark) * math.exp(-2 * g)) / (2 * gain)  # (31)
    phase = 0.0
    for parity in (0, 1):  # (20) to (22), yields of pairs of more than 8 photons bounded by 1
        states = range(parity, 40, 2)
        c = [math.exp(-intensity / 2) * intensity ** (n / 2) / math.sqrt(math.factorial(n)) for n in states]
        terms = [
            c[i] * c[j] * (math.sqrt(yield_from_its_definition(link, eta, n, m)) if n + m <= 8 else 1.0)
            for i, n in enumerate(states)
            for j, m in enumerate(states)
        ]
        phase += sum(terms) ** 2 / gain
    again = 2 * gain * (1 - binary_entropy(error) - binary_entropy(min(0.5, phase)))  # (17) to (19)
    assert found.key_rate_per_pulse == pytest.approx(expected, rel=1e-6)
    assert found.key_rate_per_pulse == pytest.approx(again, rel=2e-3)
    assert found.key_rate_per_pulse > plob(link.channel(distance))
    assert bit_gain(link, eta, intensity) == pytest.approx((gain, error))
    for other in (0.9 * intensity, 1.1 * intensity):  # the intensity is the best one
        gain, error = bit_gain(link, eta, other)
        fraction = 1 - binary_entropy(error) - binary_entropy(phase_error(link, eta, other, gain))
        assert 2 * gain * fraction < found.key_rate_per_pulse


def test_twin_field_approaches_its_limit_at_great_loss():
    """Without noise one photon of (n, m) comes to a given port with probability (n + m) sqrt(eta) / 2.

    So R / sqrt(eta) has a limit, the maximum over x of 2 x (1 - h(e)), found here without the implementation.
    """
    n = np.arange(40)
    roots = np.sqrt((n[:, None] + n) / 2)
    factorials = np.sqrt(np.array([math.factorial(int(k)) for k in n], dtype=float))

    def scaled(x: float) -> float:
        c = math.exp(-x / 2) * x ** (n / 2) / factorials
        phase = sum(float(c[j::2] @ roots[j::2, j::2] @ c[j::2]) ** 2 for j in (0, 1)) / x
        return 2 * x * (1 - binary_entropy(min(0.5, phase)))

    limit = max(scaled(float(x)) for x in np.linspace(0.01, 0.2, 1901))
    link = CURTY_AZUMA_LO.model_copy(update={"dark_count": 0.0, "misalignment": 0.0})
    found = rate("tf", link, 600).key_rate_per_pulse / math.sqrt(link.channel(600))
    assert found == pytest.approx(limit, rel=1e-4)

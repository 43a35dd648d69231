"""Decoy-state BB84 with finite keys. Lim, Curty, Walenta, Xu, Zbinden, 2014, doi:10.1103/PhysRevA.89.022307.

Two printing errors of the paper are corrected: the leak is n_X f h(e), and detection errors use eta_sys.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from qfedfm.core.errors import RequestError
from qfedfm.security.qkd.entropy import binary_entropy
from qfedfm.security.qkd.rates.presets import LinkParameters

Three = tuple[float, float, float]


@dataclass(frozen=True)
class Counts:
    """What was detected and compared, per intensity; real numbers in the model, integers on a link.

    Args:
        n_x: Detections in the key basis, both parties in it.
        n_z: Detections in the other basis.
        m_z: Errors among ``n_z``.
    """

    n_x: Three
    n_z: Three
    m_z: Three


@dataclass(frozen=True)
class Bounds:
    """The bounds of one block.

    Args:
        vacuum: Lower bound s_X0 on key-basis events from empty pulses.
        single: Lower bound s_X1 on those from single photons.
        single_z: Lower bound s_Z1.
        errors_z: Upper bound v_Z1 on errors of single photons in the other basis.
        phase_error: Upper bound phi_X, at most 1/2.
        leak: Bits disclosed by error correction.
        length: The key's length before rounding down; may be negative.
    """

    vacuum: float
    single: float
    single_z: float
    errors_z: float
    phase_error: float
    leak: float
    length: float

    @property
    def key_bits(self) -> int:
        """The key's length, never below 0."""
        return max(0, math.floor(self.length))


def _photons(n: int, intensities: Sequence[float], probabilities: Sequence[float]) -> float:
    """tau_n: the probability that Alice sends n photons."""
    return sum(
        p * math.exp(-k) * k**n / math.factorial(n) for k, p in zip(intensities, probabilities, strict=True)
    )


def _around(
    counts: Three, intensities: Three, probabilities: Three, secrecy: float
) -> tuple[list[float], list[float]]:
    """n+ and n-; the deviation uses the total over the intensities (their eq. 4)."""
    delta = math.sqrt(max(0.0, sum(counts)) / 2 * math.log(21 / secrecy))
    scale = [math.exp(k) / p for k, p in zip(intensities, probabilities, strict=True)]
    return (
        [s * (n + delta) for s, n in zip(scale, counts, strict=True)],
        [s * (n - delta) for s, n in zip(scale, counts, strict=True)],
    )


def _vacuum_and_single(
    counts: Three, intensities: Three, probabilities: Three, secrecy: float
) -> tuple[float, float]:
    plus, minus = _around(counts, intensities, probabilities, secrecy)
    m1, m2, m3 = intensities
    tau0, tau1 = _photons(0, intensities, probabilities), _photons(1, intensities, probabilities)
    s0 = max(0.0, tau0 * (m2 * minus[2] - m3 * plus[1]) / (m2 - m3))
    inner = minus[1] - plus[2] - (m2**2 - m3**2) / m1**2 * (plus[0] - s0 / tau0)
    s1 = tau1 * m1 * inner / (m1 * (m2 - m3) - m2**2 + m3**2)
    return s0, max(0.0, s1)


def bounds(
    counts: Counts,
    intensities: Three,
    probabilities: Three,
    leak: float,
    secrecy: float = 1e-9,
    correctness: float = 1e-15,
    clip: bool = True,
) -> Bounds:
    """Returns the bounds of a block and the length of its key.

    Args:
        counts: What was detected.
        intensities: mu1 > mu2 + mu3, mu2 > mu3 >= 0.
        probabilities: How often each was sent.
        leak: lambda_EC, bits disclosed by error correction and verification.
        secrecy: eps_sec.
        correctness: eps_cor.
        clip: Whether the lower bound on the weakest intensity's errors is held at 0. What it bounds is a
            number of errors and so at least 0 with certainty: clipping costs no failure probability and
            gives the longer key, so it is the default; False reproduces the unclipped formula.

    Raises:
        RequestError: Intensities that the bounds do not hold for.
    """
    m1, m2, m3 = intensities
    if not (m1 > m2 + m3 and m2 > m3 >= 0):
        raise RequestError(f"intensities {intensities} must satisfy mu1 > mu2 + mu3 and mu2 > mu3 >= 0")
    s_x0, s_x1 = _vacuum_and_single(counts.n_x, intensities, probabilities, secrecy)
    _, s_z1 = _vacuum_and_single(counts.n_z, intensities, probabilities, secrecy)
    plus, minus = _around(counts.m_z, intensities, probabilities, secrecy)
    lowest = max(0.0, minus[2]) if clip else minus[2]
    v = max(0.0, _photons(1, intensities, probabilities) * (plus[1] - lowest) / (m2 - m3))
    phase = 0.5
    if s_z1 > 0 and s_x1 > 0 and v < s_z1:
        phase = min(0.5, v / s_z1 + _gamma(secrecy, v / s_z1, s_z1, s_x1))
    length = (
        s_x0
        + s_x1 * (1 - binary_entropy(phase))
        - leak
        - 6 * math.log2(21 / secrecy)
        - math.log2(2 / correctness)
    )
    return Bounds(s_x0, s_x1, s_z1, v, phase, leak, length)


def _gamma(secrecy: float, b: float, c: float, d: float) -> float:
    """How far the error rate of d unseen single photons may exceed that of c seen ones (their eq. 5)."""
    if b <= 0:
        b = 1 / (c + 1)  # gamma vanishes with b; one error in the sample is an upper bound on none
    spread = (c + d) / (c * d * (1 - b) * b)
    inside = (c + d) * (1 - b) * b / (c * d * math.log(2)) * math.log2(spread * (21 / secrecy) ** 2)
    return math.sqrt(max(0.0, inside))


@dataclass(frozen=True)
class Model:
    """Expected counts of a block of ``n_x`` key-basis detections.

    Args:
        counts: Detections and errors per intensity.
        pulses: Pulses sent, N.
        error: Observed error rate e_obs.
        gain: Probability that a pulse is detected, over all intensities.
        signal_gain: The same for the signal alone.
    """

    counts: Counts
    pulses: float
    error: float
    gain: float
    signal_gain: float


def model(
    link: LinkParameters,
    distance: float,
    n_x: float,
    basis_x: float | None = None,
    intensities: Three | None = None,
    probabilities: Three | None = None,
) -> Model:
    """Returns what the paper's channel model expects; parameters default to the link's."""
    qx = link.basis_x if basis_x is None else basis_x
    mus = link.intensities if intensities is None else intensities
    ps = link.probabilities if probabilities is None else probabilities
    eta = link.efficiency(distance)
    detect = [1 - (1 - 2 * link.dark_count) * math.exp(-eta * k) for k in mus]
    rates = [d * (1 + link.after_pulse) for d in detect]
    errors = [
        link.dark_count - link.misalignment * math.expm1(-eta * k) + link.after_pulse * d / 2
        for k, d in zip(mus, detect, strict=True)
    ]
    gain = sum(p * r for p, r in zip(ps, rates, strict=True))
    pulses = n_x / (qx**2 * gain)
    x, z = pulses * qx**2, pulses * (1 - qx) ** 2
    counts = Counts(
        _three([x * p * r for p, r in zip(ps, rates, strict=True)]),
        _three([z * p * r for p, r in zip(ps, rates, strict=True)]),
        _three([z * p * e for p, e in zip(ps, errors, strict=True)]),
    )
    error = sum(p * e for p, e in zip(ps, errors, strict=True)) / gain
    return Model(counts, pulses, error, gain, rates[0])


def _three(values: Sequence[float]) -> Three:
    return values[0], values[1], values[2]

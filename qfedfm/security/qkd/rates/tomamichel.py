"""BB84 with finite keys. Tomamichel, Lim, Gisin, Renner, 2012, doi:10.1038/ncomms1631."""

from __future__ import annotations

import math

from scipy.optimize import minimize_scalar

from qfedfm.core.errors import RequestError
from qfedfm.security.qkd.entropy import binary_entropy
from qfedfm.security.qkd.rates.point import RatePoint
from qfedfm.security.qkd.rates.presets import LinkParameters
from qfedfm.security.qkd.rates.single_photon import single_photon


def deviation(n: float, k: float, secrecy: float) -> float:
    """Returns how far the error rate of n unseen bits may exceed that of k sampled ones (their eq. 2)."""
    return math.sqrt((n + k) / (n * k) * (k + 1) / k * math.log(2 / secrecy))


def key_length(
    n: float, k: float, tolerated: float, leak: float, secrecy: float = 1e-10, correctness: float = 1e-15
) -> float:
    """Returns the length of the secret key, bits; may be negative.

    Args:
        n: Bits of the raw key.
        k: Bits that were compared in the other basis.
        tolerated: Largest accepted error rate of the compared bits, in [0, 1/2].
        leak: Bits disclosed by error correction.
        secrecy: eps_sec.
        correctness: eps_cor.
    """
    phase = min(0.5, tolerated + deviation(n, k, secrecy))
    return n * (1 - binary_entropy(phase)) - leak - math.log2(2 / (secrecy**2 * correctness))


def bb84_finite(
    link: LinkParameters, distance: float, block: float, secrecy: float = 1e-10, correctness: float = 1e-15
) -> RatePoint:
    """Returns the rate with the best number of compared bits.

    Args:
        link: The link.
        distance: Kilometres.
        block: Detected pulses N = (sqrt(n) + sqrt(k))^2 before sifting, of which n make the raw key and k
            are compared.
        secrecy: eps_sec.
        correctness: eps_cor.
    """
    if block < 100:
        raise RequestError(f"block is {block:g}; a finite key needs at least 100 detections")
    gain, error = single_photon(link, distance)

    def length(share: float) -> tuple[float, float, float]:
        root = math.sqrt(block)
        n, k = ((1 - share) * root) ** 2, (share * root) ** 2
        leak = link.correction * n * binary_entropy(error)
        return key_length(n, k, error, leak, secrecy, correctness), n, k

    found = minimize_scalar(lambda share: -length(share)[0], bounds=(1e-3, 0.7), method="bounded")
    bits, n, k = length(float(found.x))
    bits = max(0.0, math.floor(bits))
    details = {"key_bits": int(bits), "raw_bits": n, "compared_bits": k, "pulses": block / gain}
    return RatePoint("bb84", distance, bits * gain / block, error, gain, gain, error, details)

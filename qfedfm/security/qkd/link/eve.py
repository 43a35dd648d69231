"""What an eavesdropper does to a link."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from qfedfm.core.config import Config
from qfedfm.security.qkd.rates.presets import LinkParameters

MESSAGES = ("sifting", "estimation", "parity", "verification", "amplification", "tag")
"""The kinds of classical messages of a session, in the order in which they are sent."""


class NoEve(Config):
    """Nobody listens."""

    kind: Literal["none"] = "none"


class InterceptResend(Config):
    """Eve measures a fraction of the pulses and sends what she saw.

    Args:
        fraction: Share of pulses she measures.
        bases: In which bases: at random, or always one.
    """

    kind: Literal["intercept_resend"] = "intercept_resend"
    fraction: Annotated[float, Field(ge=0, le=1)] = 1.0
    bases: Literal["random", "x", "z"] = "random"


class PhotonNumberSplitting(Config):
    """Eve keeps a photon of each pulse that has several and blocks single ones as far as the gain allows.

    Brassard, Luetkenhaus, Mor, Sanders, 2000. The signal's gain stays what Bob expects and his error rate
    does not move; only the decoys' gains betray her.
    """

    kind: Literal["photon_number_splitting"] = "photon_number_splitting"


class Tampering(Config):
    """Eve flips one bit of a classical message.

    Args:
        message: Which kind of message.
        bit: Which of its bits, counted from 0 and taken modulo its length.
    """

    kind: Literal["tampering"] = "tampering"
    message: Literal["sifting", "estimation", "parity", "verification", "amplification", "tag"] = "parity"
    bit: Annotated[int, Field(ge=0)] = 0


Eve = Annotated[NoEve | InterceptResend | PhotonNumberSplitting | Tampering, Field(discriminator="kind")]


def attack_numbers(
    eve: NoEve | InterceptResend | PhotonNumberSplitting | Tampering, link: LinkParameters, distance: float
) -> NDArray[np.float64]:
    """Returns the attack as the pulse kernel takes it, shape (6,)."""
    from qfedfm.security.qkd.link import pulse_kernel

    if isinstance(eve, InterceptResend):
        chance = {"random": 0.5, "x": 1.0, "z": 0.0}[eve.bases]
        return np.array([pulse_kernel.INTERCEPT, eve.fraction, chance, 0, 0, 0], dtype=np.float64)
    if isinstance(eve, PhotonNumberSplitting):
        multi, single_share = _splitting(link, distance)
        receiver = link.receiver_efficiency
        return np.array([pulse_kernel.SPLIT, 1, 0, multi, receiver, single_share], dtype=np.float64)
    return np.zeros(6)


def _splitting(link: LinkParameters, distance: float) -> tuple[float, float]:
    """Returns (detection probability of a photon forwarded from several, share of single ones let through).

    Both are chosen so that the signal's gain is what an honest channel gives.
    """
    mu, receiver = link.intensities[0], link.receiver_efficiency
    honest = -math.expm1(-mu * link.efficiency(distance))

    def several(eta: float) -> float:
        # Sum over n >= 2 of p_n (1 - (1 - eta)^(n - 1)).
        p0, left = math.exp(-mu), 1 - eta
        total = -math.expm1(-mu) - mu * p0
        if left <= 0:
            return total
        return total - (math.exp(-mu * eta) - p0 - mu * left * p0) / left

    if several(receiver) < honest:
        singles = mu * math.exp(-mu) * receiver
        return receiver, min(1.0, (honest - several(receiver)) / singles)
    low, high = 0.0, receiver
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if several(middle) < honest else (low, middle)
    return low, 0.0

"""What every protocol's formula returns for one distance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class RatePoint:
    """The key rate at one distance and what it follows from.

    Args:
        protocol: Its name.
        distance_km: Length of the link.
        key_rate_per_pulse: Secret bits per pulse (or pair) sent, at least 0.
        qber: Error rate of the signal, in [0, 1/2].
        gain: Probability that a signal pulse leads to a detection (or announcement).
        single_photon_yield: Detection probability of a single photon, or the bound on it that was used.
        single_photon_error: Its error rate, or the bound that was used.
        details: What else the protocol has to say.
    """

    protocol: str
    distance_km: float
    key_rate_per_pulse: float
    qber: float
    gain: float
    single_photon_yield: float
    single_photon_error: float
    details: Mapping[str, Any] = field(default_factory=dict)

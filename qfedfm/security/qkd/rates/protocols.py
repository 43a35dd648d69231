"""All protocols under one name table: rates, sweeps, reach."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from qfedfm.core.config import nearest
from qfedfm.core.errors import RequestError
from qfedfm.security.qkd.rates.decoy import infinite_decoys, vacuum_weak
from qfedfm.security.qkd.rates.entangled import bbm92
from qfedfm.security.qkd.rates.lim_optimum import decoy_finite
from qfedfm.security.qkd.rates.measurement_device_independent import mdi
from qfedfm.security.qkd.rates.point import RatePoint
from qfedfm.security.qkd.rates.presets import LinkParameters
from qfedfm.security.qkd.rates.single_photon import bb84, six_state
from qfedfm.security.qkd.rates.tomamichel import bb84_finite
from qfedfm.security.qkd.rates.twin_field import twin_field

DECOYS: dict[str, Callable[[LinkParameters, float], RatePoint]] = {
    "vacuum+weak": vacuum_weak,
    "infinite": infinite_decoys,
}
"""How decoy-bb84 learns about single photons."""

PROTOCOLS: dict[str, Callable[[LinkParameters, float], RatePoint]] = {
    "bb84": bb84,
    "decoy-bb84": vacuum_weak,
    "e91": bbm92,
    "bbm92": bbm92,
    "six-state": six_state,
    "mdi": mdi,
    "tf": twin_field,
}
"""Asymptotic rates by protocol."""

_FINITE = {"bb84": bb84_finite, "decoy-bb84": decoy_finite}


def rate(
    protocol: str,
    link: LinkParameters,
    distance: float,
    *,
    decoys: str = "vacuum+weak",
    block: float | None = None,
) -> RatePoint:
    """Returns the key rate of ``protocol`` over ``distance`` kilometres.

    Args:
        protocol: A name of ``PROTOCOLS``.
        link: The link.
        distance: Kilometres, at least 0.
        decoys: A name of ``DECOYS``; for decoy-bb84 without a block size.
        block: Block size of a finite key: raw key bits for decoy-bb84 (Lim et al., optimised), detections
            before sifting for bb84 (Tomamichel et al.); null is the asymptotic rate.

    Raises:
        RequestError: An unknown name, a distance below 0, or a block for a protocol without a finite
            analysis.
    """
    if protocol not in PROTOCOLS:
        raise RequestError(f"there is no protocol {protocol!r}{nearest(protocol, PROTOCOLS)}")
    if decoys not in DECOYS:
        raise RequestError(f"there are no decoys {decoys!r}{nearest(decoys, DECOYS)}")
    if not (distance >= 0 and math.isfinite(distance)):
        raise RequestError(f"the distance is {distance:g} km; it must be at least 0")
    if block is not None:
        if protocol not in _FINITE:
            raise RequestError(f"there is no finite-key analysis of {protocol}; use {' or '.join(_FINITE)}")
        return _FINITE[protocol](link, distance, block)
    if protocol == "decoy-bb84":
        return DECOYS[decoys](link, distance)
    return PROTOCOLS[protocol](link, distance)


def sweep(
    protocol: str,
    link: LinkParameters,
    distances: Sequence[float],
    *,
    decoys: str = "vacuum+weak",
    block: float | None = None,
) -> list[RatePoint]:
    """Returns :func:`rate` at each of ``distances``."""
    return [rate(protocol, link, distance, decoys=decoys, block=block) for distance in distances]


def reach(
    protocol: str,
    link: LinkParameters,
    *,
    decoys: str = "vacuum+weak",
    block: float | None = None,
    precision: float = 1e-4,
) -> float:
    """Returns the largest distance with a key, kilometres, to ``precision``; 0 if there is none."""
    step = 10.0 if link.medium == "fibre" else 250.0
    low = 0.0 if link.medium == "fibre" else step

    def works(distance: float) -> bool:
        return rate(protocol, link, distance, decoys=decoys, block=block).key_rate_per_pulse > 0

    if not works(low):
        return 0.0
    high = low + step
    while works(high):
        low, high = high, high + step
        if high > 1e5:
            return math.inf
    while high - low > precision:
        middle = (low + high) / 2
        low, high = (middle, high) if works(middle) else (low, middle)
    return low

"""Key rates by formula: one protocol a file, imported when it is used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from qfedfm.security.qkd.rates.presets import PRESETS, LinkParameters, preset

if TYPE_CHECKING:
    from qfedfm.security.qkd.rates.point import RatePoint
    from qfedfm.security.qkd.rates.protocols import DECOYS, PROTOCOLS, rate, reach, sweep
    from qfedfm.security.qkd.rates.repeaterless import plob

__all__ = [
    "DECOYS",
    "PRESETS",
    "PROTOCOLS",
    "LinkParameters",
    "RatePoint",
    "plob",
    "preset",
    "rate",
    "reach",
    "sweep",
]

_HOMES = {
    "DECOYS": "protocols",
    "PROTOCOLS": "protocols",
    "RatePoint": "point",
    "plob": "repeaterless",
    "rate": "protocols",
    "reach": "protocols",
    "sweep": "protocols",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

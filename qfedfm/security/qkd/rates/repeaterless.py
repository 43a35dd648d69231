"""The repeaterless bound. Pirandola, Laurenza, Ottaviani, Banchi, 2017, doi:10.1038/ncomms15043."""

from __future__ import annotations

import math


def plob(transmittance: float) -> float:
    """Returns -log2(1 - eta), secret bits per channel use, for eta in [0, 1); infinite at 1."""
    return math.inf if transmittance >= 1 else -math.log1p(-transmittance) / math.log(2)

"""Clients that do not reply, and clients that are slow: a seeded simulation of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from qfedfm.federation.config import FaultsConfig


@dataclass(frozen=True)
class Faults:
    """What goes wrong in one round.

    Args:
        dropped: Chosen clients that will not reply.
        work: For slow clients, the part of their steps that they finish.
    """

    dropped: tuple[int, ...] = ()
    work: dict[int, float] = field(default_factory=dict)


def draw_faults(config: FaultsConfig, cohort: Sequence[int], rng: np.random.Generator) -> Faults:
    """Draws the faults of ``cohort``; a dropped client is not also slow."""
    if config.dropout == 0 and config.straggler == 0:
        return Faults()
    chances = rng.random((len(cohort), 2))
    dropped = tuple(k for k, (drop, _) in zip(cohort, chances, strict=True) if drop < config.dropout)
    slow = {
        k: config.straggler_work
        for k, (drop, late) in zip(cohort, chances, strict=True)
        if drop >= config.dropout and late < config.straggler
    }
    return Faults(dropped, slow)

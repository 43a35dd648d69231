"""Where clients are trained. An engine is the only part of a round with effects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from qfedfm.core.random import Streams
from qfedfm.core.tensors import Layout
from qfedfm.core.update import Update

if TYPE_CHECKING:
    from qfedfm.federation.faults import Faults
    from qfedfm.federation.messages import Broadcast
    from qfedfm.federation.plan import Plan


class Engine(Protocol):
    """What a round asks of an engine.

    The phases of a sum protocol (``exchange``: keys, shares, masked inputs, unmasking) belong here too
    and arrive with the first such protocol.
    """

    @property
    def sizes(self) -> np.ndarray:
        """Training examples per client, shape (N,)."""

    @property
    def layout(self) -> Layout:
        """What is trained and travels."""

    def train(
        self, plan: Plan, broadcast: Broadcast, cohort: Sequence[int], faults: Faults, rng: Streams
    ) -> list[Update]:
        """Returns the replies of the clients of ``cohort`` that reply, stages applied."""

"""A stage that changes nothing; kinds override one side or both."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from qfedfm.aggregation.cohort import Combined
from qfedfm.core.config import Config
from qfedfm.core.tensors import Layout
from qfedfm.core.update import Update


class Stage(Config):
    """One layer of the onion around the round.

    Attributes:
        compresses: Whether ``on_client`` packs the difference into another form, which ``unpack`` undoes.
    """

    kind: str

    compresses: ClassVar[bool] = False

    def on_client(self, update: Update, rng: np.random.Generator) -> Update:
        """Returns what the client sends instead of ``update``."""
        return update

    def unpack(self, update: Update, layout: Layout) -> Update:
        """Returns, on the server, the update that a compressing stage was given, but for what it lost.

        Args:
            update: What arrived, unpacked by the stages after this one.
            layout: The names and shapes of the difference.

        Raises:
            UpdateRefusedError: If it is not what this stage sends.
        """
        return update

    def on_server(self, combined: Combined, rng: np.random.Generator) -> Combined:
        """Returns what the server goes on with instead of ``combined``."""
        return combined

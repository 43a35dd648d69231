"""A stage that changes nothing; kinds override one side or both."""

from __future__ import annotations

import numpy as np

from qfedfm.aggregation.cohort import Combined
from qfedfm.core.config import Config
from qfedfm.core.update import Update


class Stage(Config):
    """One layer of the onion around the round."""

    kind: str

    def on_client(self, update: Update, rng: np.random.Generator) -> Update:
        """Returns what the client sends instead of ``update``."""
        return update

    def on_server(self, combined: Combined, rng: np.random.Generator) -> Combined:
        """Returns what the server goes on with instead of ``combined``."""
        return combined

"""The baseline: one client holds all data, on the same code path as a federation.

``epochs`` then passes over all data once per round, so a central run takes as many optimizer steps in
total as the federation's clients take together.
"""

from __future__ import annotations

import numpy as np

from qfedfm.federation.engines.local import ClientData


class Pooled:
    """The training data of all clients as that of one.

    Args:
        clients: Which samples belong to whom.
    """

    def __init__(self, clients: ClientData) -> None:
        self._all = np.sort(np.concatenate([clients.train(k) for k in range(len(clients.sizes))]))

    @property
    def sizes(self) -> np.ndarray:
        """Training examples of the one client, shape (1,)."""
        return np.array([len(self._all)])

    def train(self, client: int) -> np.ndarray:
        """Returns all training samples, ascending."""
        return self._all

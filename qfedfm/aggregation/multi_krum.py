"""Multi-Krum, the classical twin of subset selection. Blanchard et al., 2017, arXiv:1703.02757."""

from __future__ import annotations

from typing import Literal

import numpy as np

from qfedfm.aggregation.cohort import Cohort
from qfedfm.aggregation.subsets import Subset, squared_distances


class MultiKrum(Subset):
    """The m clients with the least sum of squared distances to their m − 2 nearest others.

    With ``keep = (K − f)/K`` these are the paper's K − f − 2 nearest, for f clients that may lie.
    """

    kind: Literal["multi_krum"] = "multi_krum"

    def chosen(self, cohort: Cohort) -> list[int]:
        """Returns the rows of the chosen clients; of equal scores the lower client's."""
        clients = len(cohort.clients)
        keep = self.kept(clients)
        nearest = np.sort(squared_distances(cohort.delta_KD), axis=1)[:, 1 : 1 + max(1, keep - 2)]
        order = np.argsort(nearest.sum(axis=1), kind="stable")
        return sorted(int(k) for k in order[:keep])

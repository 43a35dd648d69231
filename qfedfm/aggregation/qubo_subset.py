"""Subset selection as a QUBO: least diameter (El Mhamdi et al., 2018, arXiv:1802.07927), or least redundancy.

Redundancy is that of Peng, Long and Ding, 2005, doi:10.1109/TPAMI.2005.159, cosines for information.

    diameter:    min Σ_{i<j} D_ij x_i x_j
    redundancy:  min −Σ r_i x_i + redundancy/(m − 1) · Σ_{i<j} s_ij² x_i x_j

with Σ x = m, D squared distances over their mean, s cosines between updates, r cosines with their mean
direction. Solvers of :mod:`qfedfm.optim.qubo`, QAOA among them; ``exact`` says how good the others are.
Shapes: K = clients.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from qfedfm.aggregation.cohort import Cohort
from qfedfm.aggregation.overlaps import cosines
from qfedfm.aggregation.subsets import Subset, squared_distances, unit_gram
from qfedfm.optim.qubo import Count, Qubo, QuboSolver, Solution, SwapSearch


class QuboSubset(Subset):
    """The mean of the m clients that a QUBO solver chooses.

    Args:
        objective: ``diameter``: the m updates that lie closest together; ``redundancy``: those that agree
            with the mean direction and repeat each other least.
        redundancy: What repetition costs.
        solver: How the QUBO is solved; the cardinality is kept, or the solution repaired to keep it.
    """

    kind: Literal["qubo_subset"] = "qubo_subset"
    objective: Literal["diameter", "redundancy"] = "diameter"
    redundancy: Annotated[float, Field(ge=0)] = 1.0
    solver: QuboSolver = SwapSearch()

    def problem(self, cohort: Cohort) -> Qubo:
        """Returns the QUBO of a cohort, with exactly m ones."""
        count = self.kept(len(cohort.clients))
        exactly = (Count(count, count),)
        if self.objective == "diameter":
            D = squared_distances(cohort.delta_KD)
            mean = float(D.mean())
            return Qubo(np.triu(D / mean if mean > 0 else D, 1), 0.0, exactly)
        rows = cohort.delta_KD.double().cpu()
        units = rows / rows.norm(dim=1, keepdim=True).clamp_min(1e-300)
        repeated = np.triu(unit_gram(rows) ** 2, 1) * (self.redundancy / max(1, count - 1))
        return Qubo(repeated - np.diag(cosines(rows, units.mean(dim=0))), 0.0, exactly)

    def solution(self, cohort: Cohort, best_known: float | None = None) -> Solution:
        """Returns what the solver chooses, with its value, gap and price."""
        rng = cohort.streams("aggregation", self.kind, self.solver.kind)
        return self.solver.solve(self.problem(cohort), rng, best_known)

    def chosen(self, cohort: Cohort) -> list[int]:
        """Returns the rows of the chosen clients."""
        return list(self.solution(cohort).chosen)

"""Greedy: from no ones, the best flip for as long as it helps. Nemhauser, Wolsey and Fisher, 1978.

(An analysis of approximations for maximizing submodular set functions, Math. Programming 14.)
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from qfedfm.optim.qubo.moves import State, descend
from qfedfm.optim.qubo.problem import Qubo
from qfedfm.optim.qubo.solution import Found, Solver


class Greedy(Solver):
    """Forward selection: while a count asks for more ones, the cheapest next; then single flips downhill."""

    kind: Literal["greedy"] = "greedy"

    def search(self, problem: Qubo, rng: np.random.Generator) -> Found:
        """Returns the greedy string; it does not depend on ``rng``."""
        state = State(problem, np.zeros(problem.n, np.uint8))
        descend(state)
        return Found(state.bits, state.evaluations)

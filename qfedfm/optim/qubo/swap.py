"""Swap local search: flips and exchanges downhill, from several starts. Kernighan and Lin, 1970.

(An efficient heuristic procedure for partitioning graphs, Bell System Technical Journal 49.)
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from qfedfm.optim.qubo.moves import State, best_swap, descend
from qfedfm.optim.qubo.problem import Bits, Qubo
from qfedfm.optim.qubo.solution import Found, Solver


class SwapSearch(Solver):
    """Steepest descent over single flips and exchanges of a one with a zero.

    An exchange keeps every count over all variables, so a cardinality, once kept, stays kept.

    Args:
        starts: The greedy string and ``starts - 1`` random ones.
    """

    kind: Literal["swap"] = "swap"
    starts: Annotated[int, Field(ge=1)] = 10

    def search(self, problem: Qubo, rng: np.random.Generator) -> Found:
        """Returns the best local minimum."""
        best: tuple[int, float, Bits] | None = None
        evaluations = 0
        for start in range(self.starts):
            bits = np.zeros(problem.n, np.uint8) if start == 0 else random_string(problem, rng)
            state = State(problem, bits)
            _descend_with_swaps(state)
            evaluations += state.evaluations
            found = state.violation, float(problem.value(state.bits)), state.bits
            if best is None or found[:2] < best[:2]:
                best = found
        assert best is not None
        return Found(best[2], evaluations)


def random_string(problem: Qubo, rng: np.random.Generator) -> Bits:
    """Returns a random string, shape (n,), whose ones were added in random order as the counts allow."""
    state = State(problem, np.zeros(problem.n, np.uint8))
    for variable in rng.permutation(problem.n):
        change = int(state.flips()[0][variable]) if problem.constraints else 0
        if change < 0 or (change == 0 and rng.random() < 0.5):
            state.flip(int(variable))
    return state.bits


def _descend_with_swaps(state: State) -> None:
    while True:
        descend(state)
        swap = best_swap(state)
        if swap is None or not state.improves(swap[2], swap[3]):
            return
        state.flip(swap[0])
        state.flip(swap[1])

"""Tabu search over flips and exchanges. Glover, 1989, ORSA Journal on Computing 1, 190–206.

Each iteration takes the best move that is not forbidden, uphill too; a variable that moved may not move again
for some iterations, unless that leads to a string better than all before (aspiration).
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from qfedfm.optim.qubo.moves import State, repair
from qfedfm.optim.qubo.problem import Bits, Qubo
from qfedfm.optim.qubo.solution import Found, Solver
from qfedfm.optim.qubo.swap import random_string


class Tabu(Solver):
    """The best string of a walk that keeps the counts once it has reached them.

    Args:
        starts: Walks: the first from the greedy side, others from random strings.
        iterations: Moves of a walk.
        tenure: For how many iterations a variable rests; null for a tenth of the variables and a random part.
    """

    kind: Literal["tabu"] = "tabu"
    starts: Annotated[int, Field(ge=1)] = 2
    iterations: Annotated[int, Field(ge=1)] = 400
    tenure: Annotated[int, Field(ge=1)] | None = None

    def search(self, problem: Qubo, rng: np.random.Generator) -> Found:
        """Returns the best string of all walks."""
        best: tuple[int, float, Bits] | None = None
        evaluations = 0
        for start in range(self.starts):
            bits = np.zeros(problem.n, np.uint8) if start == 0 else random_string(problem, rng)
            state = State(problem, bits)
            repair(state)
            found = self._walk(state, rng)
            evaluations += state.evaluations
            if best is None or found[:2] < best[:2]:
                best = found
        assert best is not None
        return Found(best[2], evaluations)

    def _walk(self, state: State, rng: np.random.Generator) -> tuple[int, float, Bits]:
        problem = state.problem
        rests = np.zeros(problem.n, np.int64)  # until which iteration a variable may not move
        value, violation = float(problem.value(state.bits)), state.violation
        best = violation, value, state.bits.copy()
        for iteration in range(1, self.iterations + 1):
            record = best[1] - value if violation <= best[0] else np.inf
            move = _best_move(state, rests >= iteration, record)
            if move is None:
                continue
            variables, more, change = move
            for variable in variables:
                state.flip(variable)
                tenure = self.tenure or problem.n // 10 + int(rng.integers(1, 11))
                rests[variable] = iteration + tenure
            value, violation = value + change, violation + more
            if (violation, value) < (best[0], best[1] - state.tolerance):
                best = violation, value, state.bits.copy()
        return best[0], float(problem.value(best[2])), best[2]


def _best_move(
    state: State, resting: NDArray[np.bool_], record: float
) -> tuple[tuple[int, ...], int, float] | None:
    """Returns the best allowed flip or exchange: its variables and its changes of violation and value."""
    violation, value = state.flips()
    allowed = ~resting | (value < record)
    candidates: list[tuple[int, float, tuple[int, ...]]] = []
    place = _least(violation, np.where(allowed, value, np.inf))
    if allowed[place]:
        candidates.append((int(violation[place]), float(value[place]), (place,)))
    if state.problem.constraints:
        ones, zeros, violation, value = state.swaps()
        if value.size:
            both = ~resting[ones][:, None] & ~resting[zeros][None] | (value < record)
            flat = _least(violation, np.where(both, value, np.inf))
            i, j = divmod(flat, len(zeros))
            if both[i, j]:
                candidates.append((int(violation[i, j]), float(value[i, j]), (int(ones[i]), int(zeros[j]))))
    if not candidates:
        return None
    more, change, variables = min(candidates)
    return variables, more, change


def _least(violation: NDArray[np.int64], value: NDArray[np.float64]) -> int:
    """Returns the flat place of the least (violation, value) among finite values."""
    finite = np.isfinite(value)
    if not finite.any():
        return 0
    least = violation[finite].min()
    return int(np.where((violation == least) & finite, value, np.inf).argmin())

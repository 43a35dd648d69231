"""A bit string and its neighbours: flips and swaps, valued by differences.

Moves are compared by (change of violation, change of value), in that order, so that a feasible string never
becomes infeasible and an infeasible one first approaches the constraints.

Shapes: n = variables, G = constraints.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qfedfm.optim.qubo.problem import Bits, Qubo, Values, dense

#: Differences smaller than this part of the largest coefficient are rounding.
TOLERANCE = 1e-12


class State:
    """A string with what is needed to value all its neighbours.

    Args:
        problem: The problem.
        bits: Where to start, shape (n,).

    Attributes:
        bits: Shape (n,), uint8.
        fields: What a one costs at each place beside the other ones, shape (n,).
        counts: Ones among the members of each constraint, shape (G,).
        evaluations: Neighbours valued so far.
    """

    def __init__(self, problem: Qubo, bits: ArrayLike) -> None:
        self.problem = problem
        self.bits: Bits = np.array(bits, np.uint8)
        self.fields: Values = problem.linear + problem.pairs @ self.bits.astype(float)
        self.counts: NDArray[np.int64] = problem.members @ self.bits.astype(np.int64)
        self.evaluations = 0
        largest = np.max(np.abs(problem.linear)) + abs(problem.pairs).max()
        self.tolerance = TOLERANCE * max(float(largest), 1e-300)

    @property
    def violation(self) -> int:
        """By how many ones the constraints are missed."""
        return int(self.problem.excess(self.counts).sum())

    def flips(self) -> tuple[NDArray[np.int64], Values]:
        """Returns the change of violation and of value by flipping each variable, each of shape (n,)."""
        signs = 1 - 2 * self.bits.astype(np.int64)
        self.evaluations += self.problem.n
        return self._excess_change(signs[:, None] * self.problem.members.T), signs * self.fields

    def swaps(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], Values]:
        """Returns ones, zeros, and the changes (ones, zeros) of violation and value by exchanging a pair."""
        ones, zeros = np.flatnonzero(self.bits), np.flatnonzero(self.bits == 0)
        self.evaluations += len(ones) * len(zeros)
        members = self.problem.members.T
        violation = self._excess_change(members[zeros][None] - members[ones][:, None])
        together = dense(self.problem.pairs[ones][:, zeros])
        return ones, zeros, violation, self.fields[zeros][None] - self.fields[ones][:, None] - together

    def flip(self, variable: int) -> None:
        """Changes one variable."""
        sign = 1 - 2 * int(self.bits[variable])
        self.bits[variable] ^= 1
        self.fields = self.fields + sign * self.problem.row(variable)
        self.counts = self.counts + sign * self.problem.members[:, variable]

    def best_flip(self) -> tuple[int, int, float]:
        """Returns the variable whose flip is best, with its changes of violation and value."""
        violation, value = self.flips()
        place = _best(violation, value)
        return place, int(violation[place]), float(value[place])

    def improves(self, violation: int, value: float) -> bool:
        """Whether a move with these changes makes the string better by more than rounding."""
        return violation < 0 or (violation == 0 and value < -self.tolerance)

    def _excess_change(self, moved: NDArray[np.int64]) -> NDArray[np.int64]:
        excess = self.problem.excess
        change: NDArray[np.int64] = (excess(self.counts + moved) - excess(self.counts)).sum(axis=-1)
        return change


def _best(violation: NDArray[np.int64], value: Values) -> int:
    """Returns the flat place of the least (violation, value)."""
    least = violation.min()
    return int(np.where(violation == least, value, np.inf).argmin())


def best_swap(state: State) -> tuple[int, int, int, float] | None:
    """Returns the best pair (a one, a zero) with its changes, or None if all variables are alike."""
    ones, zeros, violation, value = state.swaps()
    if not value.size:
        return None
    i, j = divmod(_best(violation, value), len(zeros))
    return int(ones[i]), int(zeros[j]), int(violation[i, j]), float(value[i, j])


def descend(state: State) -> None:
    """Flips the best variable for as long as that makes the string better."""
    while True:
        place, violation, value = state.best_flip()
        if not state.improves(violation, value):
            return
        state.flip(place)


def repair(state: State) -> bool:
    """Flips the cheapest variables that bring the string to its constraints; returns whether any moved."""
    moved = False
    while state.violation > 0:
        place, violation, _ = state.best_flip()
        if violation >= 0:
            break
        state.flip(place)
        moved = True
    return moved

"""Exact minimum by visiting all strings. The values of 2^n strings cost 2^(n+1) additions, by doubling."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from qfedfm.core.errors import RequestError
from qfedfm.optim.qubo.problem import Qubo, Values
from qfedfm.optim.qubo.solution import Found, Solver

#: Most variables: 4 million strings, 64 MB.
LARGEST = 22


class Exact(Solver):
    """The least value among all feasible strings; of equal ones, the first in binary counting.

    If no string keeps all constraints, the least value among those that miss them least.
    """

    kind: Literal["exact"] = "exact"

    def search(self, problem: Qubo, rng: np.random.Generator) -> Found:
        """Returns the optimum."""
        if problem.n > LARGEST:
            raise RequestError(
                f"solver exact takes at most {LARGEST} variables, this problem has {problem.n}: use swap or "
                "annealing"
            )
        values = all_values(problem)
        if problem.constraints:
            violation = _all_violations(problem)
            values = np.where(violation == violation.min(), values, np.inf)
        best = int(values.argmin())
        bits = np.array([best >> i & 1 for i in range(problem.n)], np.uint8)
        return Found(bits, 1 << problem.n)


def all_values(problem: Qubo) -> Values:
    """Returns the objective of all strings, shape (2^n,); bit i of the index is variable i."""
    values = np.array([problem.offset])
    for variable in range(problem.n):
        # What a one at `variable` costs beside every string of the variables before it, by doubling too.
        costs, row = np.array([problem.linear[variable]]), problem.row(variable)
        for before in range(variable):
            costs = np.concatenate([costs, costs + row[before]])
        values = np.concatenate([values, values + costs])
    return values


def _all_violations(problem: Qubo) -> NDArray[np.int64]:
    index = np.arange(1 << problem.n, dtype=np.int64)
    total = np.zeros(1 << problem.n, np.int64)
    for count, members in zip(problem.constraints, problem.members, strict=True):
        mask = int(sum(1 << int(i) for i in np.flatnonzero(members)))
        ones = np.bitwise_count(index & mask).astype(np.int64)
        total += np.maximum(0, np.maximum(count.least - ones, ones - count.most))
    return total

"""Constraints as penalties, for solvers that know none. Lucas, 2014, arXiv:1302.5843, section 2."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qfedfm.optim.qubo.problem import Count, Qubo, dense


def sufficient_strength(problem: Qubo) -> float:
    """Returns a strength from which, under one count, no minimum of the penalised problem misses it.

    One flip towards the count saves at least the strength and costs at most the largest change that one
    variable can make beside as many ones as the count allows.
    """
    sizes = np.abs(dense(problem.pairs))
    whole = [count.most for count in problem.constraints if count.members is None]
    beside = min([problem.n, *(most + 1 for most in whole)])
    largest = np.sort(sizes, axis=1)[:, ::-1][:, :beside].sum(axis=1)
    return float(np.max(np.abs(problem.linear) + largest)) * 1.01 + 1e-9


def penalised(problem: Qubo, strength: float | None = None) -> Qubo:
    """Returns a problem without constraints whose first n variables are the given one's.

    A count from ``least`` to ``most`` becomes ``strength (sum x - least - slack)²``; the slack is a
    number from 0 to ``most - least`` in binary, its bits further variables. On feasible strings the values
    are the same with the right slack.

    Args:
        problem: With or without constraints.
        strength: What missing a count by one costs; :func:`sufficient_strength` by default.

    Returns:
        The problem, dense, with n variables and those of the slacks.
    """
    if not problem.constraints:
        return problem
    strength = sufficient_strength(problem) if strength is None else strength
    slacks = [slack_weights(min(c.most, int(row.sum())) - c.least) for c, row in _counted(problem)]
    size = problem.n + sum(len(weights) for weights in slacks)
    Q = np.zeros((size, size))
    Q[: problem.n, : problem.n] = np.diag(problem.linear)
    Q[: problem.n, : problem.n] += np.triu(dense(problem.pairs))
    offset, start = problem.offset, problem.n
    for (count, row), weights in zip(_counted(problem), slacks, strict=True):
        a = np.zeros(size)
        a[: problem.n] = row
        a[start : start + len(weights)] = -np.array(weights, float)
        start += len(weights)
        # (a·x - b)² = xᵀ a aᵀ x - 2 b a·x + b²
        Q += strength * (np.outer(a, a) - 2.0 * count.least * np.diag(a))
        offset += strength * count.least**2
    return Qubo(Q, offset)


def slack_weights(largest: int) -> list[int]:
    """Returns weights whose subset sums are exactly 0 to ``largest``: powers of two and a rest."""
    weights: list[int] = []
    while largest > 0:
        weight = min(1 << len(weights), largest)
        weights.append(weight)
        largest -= weight
    return weights


def _counted(problem: Qubo) -> list[tuple[Count, NDArray[np.int64]]]:
    return list(zip(problem.constraints, problem.members, strict=True))

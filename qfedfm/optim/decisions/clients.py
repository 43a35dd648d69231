"""Which clients take part: those whose joint class frequencies are nearest to everybody's.

With counts c_k (C,) of client k, n_k = Σ c_k and the frequencies p of all clients together, the cohort S of
m clients minimises ``‖Σ_{k∈S} (c_k − n_k p)‖²``: how far its counts are from as many examples with
frequencies p. (The aim is that of Astraea, Duan et al., 2019, arXiv:1907.01132; the QUBO form is ours.)
Clients disclose their class counts. Shapes: K = candidates, C = classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from qfedfm.core.errors import RequestError
from qfedfm.optim.qubo import Qubo, Solution, Solver


def problem(counts: ArrayLike, cohort: int, frequencies: ArrayLike | None = None) -> Qubo:
    """Returns the choice of ``cohort`` clients as a QUBO, in units of squared examples.

    Args:
        counts: Examples of each class that each candidate holds, (K, C).
        cohort: How many to choose, m.
        frequencies: p, (C,), adding up to 1; those of the candidates together by default.

    Raises:
        RequestError: Not a table of counts, or more clients asked for than there are.
    """
    c = np.asarray(counts, float)
    if c.ndim != 2 or not np.isfinite(c).all() or (c < 0).any() or c.sum() <= 0:
        raise RequestError("counts of classes must be a table (clients, classes) of numbers of at least 0")
    if not 1 <= cohort <= len(c):
        raise RequestError(f"the cohort is {cohort}, but there are {len(c)} candidates")
    p = c.sum(axis=0) / c.sum() if frequencies is None else np.asarray(frequencies, float)
    away = c - c.sum(axis=1, keepdims=True) * p
    return Qubo(away @ away.T).with_cardinality(cohort)


def choose_clients(
    counts: ArrayLike,
    cohort: int,
    solver: Solver,
    rng: np.random.Generator,
    frequencies: ArrayLike | None = None,
) -> Solution:
    """Returns the solver's cohort; its ``chosen`` are row numbers of ``counts``."""
    return solver.solve(problem(counts, cohort, frequencies), rng)

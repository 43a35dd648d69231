"""Solvers of decisions on problems of 200 variables, against swap local search and the best of all.

Four kinds of problem: a ±1 spin glass without counts, a robust subset (100 of 200 updates, 60 of them
outliers), a cohort (20 of 200 clients), ranks (40 clients, 5 units each, 100 units in all).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import numpy as np

from qfedfm.core.random import Streams
from qfedfm.optim.decisions import clients, ranks, subset
from qfedfm.optim.qubo import (
    Annealing,
    Bifurcation,
    Greedy,
    QuantumAnnealing,
    Qubo,
    Solution,
    Solver,
    SwapSearch,
    Tabu,
    against_best,
)

VARIABLES = 200
SOLVERS: dict[str, Solver] = {
    "greedy": Greedy(),
    "swap local search": SwapSearch(),
    "tabu": Tabu(),
    "simulated annealing": Annealing(),
    "path-integral annealing": QuantumAnnealing(),
    "bifurcation, discrete": Bifurcation(),
    "bifurcation, ballistic": Bifurcation(variant="ballistic"),
}


def spin_glass(rng: np.random.Generator) -> Qubo:
    """Returns random couplings ±1 between all spins (Sherrington and Kirkpatrick, 1975)."""
    upper = np.triu(rng.choice([-1.0, 1.0], (VARIABLES, VARIABLES)), 1)
    return Qubo.from_ising(np.zeros(VARIABLES), upper + upper.T)


def robust_subset(rng: np.random.Generator) -> Qubo:
    """Returns the choice of 100 updates in 20 dimensions, 60 of which are shifted."""
    updates = rng.normal(size=(VARIABLES, 20))
    updates[rng.choice(VARIABLES, 60, replace=False)] += 0.5
    return subset.problem(subset.squared_distances(updates), VARIABLES // 2)


def cohort(rng: np.random.Generator) -> Qubo:
    """Returns the choice of 20 clients whose 16 classes are Dirichlet with alpha 0.3."""
    sizes = rng.integers(20, 200, VARIABLES)
    counts = np.stack([rng.multinomial(n, rng.dirichlet([0.3] * 16)) for n in sizes])
    return clients.problem(counts, 20)


def rank_budget(rng: np.random.Generator) -> Qubo:
    """Returns 100 units of rank for 40 clients with random gains and similarities."""
    directions = rng.normal(size=(40, 6))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return ranks.problem(rng.integers(20, 200, 40), np.abs(directions @ directions.T), 100, 5, 0.5)


KINDS: dict[str, Callable[[np.random.Generator], Qubo]] = {
    "spin glass": spin_glass,
    "robust subset": robust_subset,
    "cohort": cohort,
    "rank budget": rank_budget,
}


def measure(instances: int = 5, kinds: Sequence[str] = tuple(KINDS), seed: int = 0) -> dict[str, Any]:
    """Returns one row for each kind and solver: gaps to the best of all, counts, times.

    Args:
        instances: Problems of each kind.
        kinds: Which kinds.
        seed: Of problems and solvers.

    Returns:
        ``rows`` with, over the instances, the median and largest gap relative to the size of the best value,
        how often a solver is the best of all, better or worse than swap local search by more than rounding,
        was repaired or infeasible, and median seconds (wall clock and processor).
    """
    streams = Streams(seed)
    rows: list[dict[str, Any]] = []
    for kind in kinds:
        found: dict[str, list[Solution]] = {name: [] for name in SOLVERS}
        spent: dict[str, list[float]] = {name: [] for name in SOLVERS}
        for number in range(instances):
            problem = KINDS[kind](streams("instance", kind, number))
            solutions = []
            for name, solver in SOLVERS.items():
                began = time.process_time()
                solutions.append(solver.solve(problem, streams("solver", kind, number, name)))
                spent[name].append(time.process_time() - began)
            for name, solution in zip(SOLVERS, against_best(solutions), strict=True):
                found[name].append(solution)
        rows += [_row(kind, name, found[name], found["swap local search"], spent[name]) for name in SOLVERS]
    return {"variables": VARIABLES, "instances": instances, "seed": seed, "rows": rows}


def _row(
    kind: str, name: str, own: list[Solution], swap: list[Solution], seconds: list[float]
) -> dict[str, Any]:
    gaps = [None if s.gap is None else s.gap / max(abs(s.best_known or 0.0), 1e-12) for s in own]
    kept = [gap for gap in gaps if gap is not None]
    pairs = [(a.value, b.value, 1e-9 * max(abs(b.value), 1.0)) for a, b in zip(own, swap, strict=True)]
    return {
        "kind": kind,
        "solver": name,
        "median_gap": median(kept) if kept else None,
        "largest_gap": max(kept) if kept else None,
        "best_of_all": sum(gap is not None and gap < 1e-9 for gap in gaps),
        "better_than_swap": sum(a < b - t for a, b, t in pairs),
        "worse_than_swap": sum(a > b + t for a, b, t in pairs),
        "repaired": sum(solution.repaired for solution in own),
        "infeasible": sum(not solution.feasible for solution in own),
        "median_seconds": median(solution.seconds for solution in own),
        "median_processor_seconds": median(seconds),
    }

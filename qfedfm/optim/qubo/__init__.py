"""QUBO and Ising problems, and solvers whose results carry the same figures, one file a solver.

A :class:`Qubo` is minimised by ``solver.solve(problem, rng)``. Every :class:`Solution` says whether it keeps
the constraints (or was repaired to), how far it is from the best value known, and what it cost. ``exact``,
``greedy``, ``swap`` and ``tabu`` keep counts themselves; the others see them as penalties. Nothing
heavy is imported until a solver needs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from qfedfm.core.random import Streams
from qfedfm.optim.qubo.annealing import Annealing
from qfedfm.optim.qubo.bifurcation import Bifurcation
from qfedfm.optim.qubo.exact import Exact
from qfedfm.optim.qubo.greedy import Greedy
from qfedfm.optim.qubo.penalty import penalised
from qfedfm.optim.qubo.problem import Count, Ising, Qubo
from qfedfm.optim.qubo.qaoa import Qaoa
from qfedfm.optim.qubo.quantum_annealing import QuantumAnnealing
from qfedfm.optim.qubo.solution import Solution, Solver, against_best
from qfedfm.optim.qubo.swap import SwapSearch
from qfedfm.optim.qubo.tabu import Tabu
from qfedfm.optim.qubo.warm_qaoa import WarmQaoa

QuboSolver = Annotated[
    Exact | Greedy | SwapSearch | Tabu | Annealing | QuantumAnnealing | Bifurcation | Qaoa | WarmQaoa,
    Field(discriminator="kind"),
]

__all__ = [
    "Annealing",
    "Bifurcation",
    "Count",
    "Exact",
    "Greedy",
    "Ising",
    "Qaoa",
    "QuantumAnnealing",
    "Qubo",
    "QuboSolver",
    "Solution",
    "Solver",
    "SwapSearch",
    "Tabu",
    "WarmQaoa",
    "against_best",
    "compare_solvers",
    "penalised",
]


def compare_solvers(problem: Qubo, solvers: Sequence[Solver], streams: Streams) -> list[Solution]:
    """Returns each solver's solution, in order, with the best of all as the best known value.

    Args:
        problem: What to minimise.
        solvers: The methods; each draws from its own stream, so that adding one changes no other.
        streams: Source of randomness.
    """
    return against_best(
        [
            solver.solve(problem, streams("solver", number, solver.kind))
            for number, solver in enumerate(solvers)
        ]
    )

"""Simulated annealing by dwave-samplers. Kirkpatrick, Gelatt and Vecchi, 1983, Science 220, 671."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from qfedfm.core.errors import RequestError
from qfedfm.optim.qubo.penalty import penalised, sufficient_strength
from qfedfm.optim.qubo.problem import Qubo
from qfedfm.optim.qubo.solution import Found, Solver

#: Penalties tried, as shares of the strength that surely suffices.
LADDER = (1.0, 0.5, 0.25)


class Annealing(Solver):
    """The best of several runs of D-Wave's classical annealer, constraints as penalties.

    Args:
        reads: Independent runs.
        sweeps: Updates of all variables in a run.
        penalty: What missing a count by one costs; None for a third of the runs each with the strength that
            surely suffices, its half and its quarter (a wall that high often keeps the annealer from moving).
    """

    kind: Literal["annealing"] = "annealing"
    reads: Annotated[int, Field(ge=1)] = 20
    sweeps: Annotated[int, Field(ge=1)] = 200
    penalty: Annotated[float, Field(gt=0)] | None = None

    def search(self, problem: Qubo, rng: np.random.Generator) -> Found:
        """Returns the best string of all runs.

        Raises:
            RequestError: The package dwave-samplers is not installed.
        """
        try:
            from dwave.samplers import SimulatedAnnealingSampler
        except ImportError as error:
            raise RequestError(
                "solver annealing needs the package dwave-samplers: pip install 'qfedfm[annealing]'"
            ) from error
        strengths = strengths_of(problem, self.penalty)
        found, evaluations = [], 0
        for strength in strengths:
            free = penalised(problem, strength)
            reads = -(-self.reads // len(strengths))
            sampled = SimulatedAnnealingSampler().sample(
                as_model(free), num_reads=reads, num_sweeps=self.sweeps, seed=int(rng.integers(1, 2**31))
            )
            places = [sampled.variables.index(i) for i in range(problem.n)]
            found.append(np.asarray(sampled.record.sample)[:, places].astype(np.uint8))
            evaluations += reads * self.sweeps * free.n
        strings = np.concatenate(found)
        best = np.lexsort((problem.value(strings), problem.violation(strings)))[0]
        return Found(strings[best], evaluations)


def strengths_of(problem: Qubo, penalty: float | None) -> list[float | None]:
    """Returns the penalties that are tried: the given one, or the ladder where there are constraints."""
    if penalty is None and problem.constraints:
        return [sufficient_strength(problem) * share for share in LADDER]
    return [penalty]


def as_model(free: Qubo) -> Any:
    """Returns a problem without constraints as a binary quadratic model of dimod."""
    from dimod import BQM
    from scipy import sparse

    upper = sparse.coo_array(sparse.triu(free.pairs, 1))
    rows, columns = upper.coords
    return BQM.from_numpy_vectors(free.linear, (rows, columns, upper.data), free.offset, "BINARY")

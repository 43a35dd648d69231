"""Path-integral quantum annealing by dwave-samplers. Martoňák, Santoro and Tosatti, 2002, cond-mat/0203244.

The transverse-field Ising model is simulated as replicas of the spins along imaginary time; the field falls
and the objective rises over the sweeps. It is a classical Monte Carlo method.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from qfedfm.core.errors import RequestError
from qfedfm.optim.qubo.annealing import as_model, strengths_of
from qfedfm.optim.qubo.penalty import penalised
from qfedfm.optim.qubo.problem import Qubo, dense
from qfedfm.optim.qubo.solution import Found, Solver


class QuantumAnnealing(Solver):
    """The best of several runs, constraints as penalties.

    Args:
        reads: Independent runs.
        sweeps: Updates of all spins in a run.
        field: The transverse field at the start, in units of the root mean square of the spins' local
            fields; it falls to 0.
        temperature: In the same units. The time of a sweep grows with ``field / temperature``.
        penalty: What missing a count by one costs; None for a third of the runs each with the strength that
            surely suffices, its half and its quarter.
    """

    kind: Literal["quantum_annealing"] = "quantum_annealing"
    reads: Annotated[int, Field(ge=1)] = 6
    sweeps: Annotated[int, Field(ge=2)] = 100
    field: Annotated[float, Field(gt=0)] = 1.0
    temperature: Annotated[float, Field(gt=0)] = 0.2
    penalty: Annotated[float, Field(gt=0)] | None = None

    def search(self, problem: Qubo, rng: np.random.Generator) -> Found:
        """Returns the best string of all runs.

        Raises:
            RequestError: The package dwave-samplers is not installed.
        """
        try:
            from dwave.samplers import PathIntegralAnnealingSampler
        except ImportError as error:
            raise RequestError(
                "solver quantum_annealing needs the package dwave-samplers: pip install 'qfedfm[annealing]'"
            ) from error
        found, evaluations = [], 0
        strengths = strengths_of(problem, self.penalty)
        time = np.linspace(0.0, 1.0, self.sweeps)
        for strength in strengths:
            free = penalised(problem, strength)
            model = as_model(free)
            model.change_vartype("SPIN")
            fields, couplings, _ = free.ising()
            unit = float(np.sqrt((fields**2 + (dense(couplings) ** 2).sum(axis=1)).mean()))
            if unit == 0.0:  # the objective is a constant
                found.append(np.zeros((1, problem.n), np.uint8))
                continue
            model.scale(1.0 / unit)
            reads = -(-self.reads // len(strengths))
            sampled = PathIntegralAnnealingSampler().sample(
                model,
                num_reads=reads,
                beta_schedule_type="custom",
                Hp_field=time / self.temperature,
                Hd_field=(1.0 - time) * self.field / self.temperature,
                seed=int(rng.integers(1, 2**31)),
            )
            places = [sampled.variables.index(i) for i in range(problem.n)]
            found.append((np.asarray(sampled.record.sample)[:, places] > 0).astype(np.uint8))
            evaluations += reads * self.sweeps * free.n
        strings = np.concatenate(found)
        best = np.lexsort((problem.value(strings), problem.violation(strings)))[0]
        return Found(strings[best], evaluations)

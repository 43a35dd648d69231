"""Simulated bifurcation: spins as classical oscillators. Goto et al., 2021, Science Advances 7, eabe7953.

Positions q and momenta p of every spin follow

    dp = (−(1 − a(t)) q − c (h + J f(q))) dt,   dq = p dt,   a(t) from 0 to 1

with inelastic walls at ±1; f is the identity (ballistic) or the sign (discrete), and
``c = 0.5 √(n−1) / ‖J‖_F``. The method is quantum-inspired: the classical limit of a network of parametric
oscillators.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from qfedfm.optim.qubo.annealing import strengths_of
from qfedfm.optim.qubo.penalty import penalised
from qfedfm.optim.qubo.problem import Qubo, dense
from qfedfm.optim.qubo.solution import Found, Solver


class Bifurcation(Solver):
    """The best of several oscillator networks, all at once, constraints as penalties.

    Args:
        variant: ``discrete`` or ``ballistic``.
        reads: Independent networks.
        steps: Time steps.
        step: Size of a time step.
        penalty: What missing a count by one costs; None for a third of the networks each with the strength
            that surely suffices, its half and its quarter.
    """

    kind: Literal["bifurcation"] = "bifurcation"
    variant: Literal["discrete", "ballistic"] = "discrete"
    reads: Annotated[int, Field(ge=1)] = 30
    steps: Annotated[int, Field(ge=1)] = 500
    step: Annotated[float, Field(gt=0, le=2)] = 0.5
    penalty: Annotated[float, Field(gt=0)] | None = None

    def search(self, problem: Qubo, rng: np.random.Generator) -> Found:
        """Returns the best string of all networks."""
        found, evaluations = [], 0
        strengths = strengths_of(problem, self.penalty)
        for strength in strengths:
            free = penalised(problem, strength)
            fields, couplings, _ = free.ising()
            J = dense(couplings)
            norm = float(np.linalg.norm(J)) or float(np.linalg.norm(fields)) or 1.0
            scale = 0.5 * np.sqrt(max(free.n - 1, 1)) / norm
            reads = -(-self.reads // len(strengths))
            position = rng.uniform(-0.1, 0.1, (reads, free.n))
            momentum = rng.uniform(-0.1, 0.1, (reads, free.n))
            for number in range(self.steps):
                pump = number / self.steps
                shown = np.sign(position) if self.variant == "discrete" else position
                force = -(1.0 - pump) * position - scale * (fields + shown @ J)
                momentum += self.step * force
                position += self.step * momentum
                wall = np.abs(position) > 1.0
                position = np.clip(position, -1.0, 1.0)
                momentum[wall] = 0.0
            found.append((position[:, : problem.n] < 0).astype(np.uint8))  # bit 0 is spin 1
            evaluations += reads * self.steps
        strings = np.concatenate(found)
        best = np.lexsort((problem.value(strings), problem.violation(strings)))[0]
        return Found(strings[best], evaluations)

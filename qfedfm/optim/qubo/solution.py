"""What a solver found, and how it compares with the best that is known."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qfedfm.core.config import Config
from qfedfm.optim.qubo.moves import State, repair
from qfedfm.optim.qubo.problem import Bits, Qubo


@dataclass(frozen=True, eq=False)
class Solution:
    """A bit string with its price.

    Args:
        solver: The solver's kind.
        bits: x, shape (n,), 0 or 1.
        value: The objective there.
        violation: By how many ones the constraints are missed; 0 is feasible.
        repaired: Whether the solver's own string missed the constraints and was changed to keep them, one
            flip at a time.
        seconds: Wall-clock time.
        evaluations: Bit strings whose value was computed, in full or as a difference to a neighbour.
        circuits: Circuits whose expectation value was computed.
        shots: Measured bit strings.
        best_known: The least value of a feasible string that anyone reported; None if nobody did.
    """

    solver: str
    bits: Bits
    value: float
    violation: int
    repaired: bool
    seconds: float
    evaluations: int
    circuits: int = 0
    shots: int = 0
    best_known: float | None = None

    @property
    def feasible(self) -> bool:
        """Whether all constraints are kept."""
        return self.violation == 0

    @property
    def gap(self) -> float | None:
        """``value - best_known``, at least 0; None without a best known value, or if infeasible."""
        if self.best_known is None or not self.feasible:
            return None
        return self.value - self.best_known

    @property
    def chosen(self) -> tuple[int, ...]:
        """The variables that are 1, ascending."""
        return tuple(int(i) for i in np.flatnonzero(self.bits))

    def plain(self) -> dict[str, Any]:
        """Returns everything as JSON-ready builtins."""
        return {
            "solver": self.solver,
            "bits": "".join(map(str, self.bits.tolist())),
            "value": self.value,
            "feasible": self.feasible,
            "violation": self.violation,
            "repaired": self.repaired,
            "best_known": self.best_known,
            "gap": self.gap,
            "seconds": self.seconds,
            "evaluations": self.evaluations,
            "circuits": self.circuits,
            "shots": self.shots,
        }


@dataclass(frozen=True, eq=False)
class Found:
    """What a search returns to :class:`Solver`; see :class:`Solution`."""

    bits: Bits
    evaluations: int
    circuits: int = 0
    shots: int = 0


class Solver(Config):
    """A method with its options; methods override :meth:`search`."""

    kind: str

    def search(self, problem: Qubo, rng: np.random.Generator) -> Found:
        """Returns the best string the method finds, feasible or not."""
        raise NotImplementedError

    def solve(self, problem: Qubo, rng: np.random.Generator, best_known: float | None = None) -> Solution:
        """Returns what the method finds; a string that misses the constraints is repaired and says so.

        Args:
            problem: What to minimise.
            rng: Source of all random choices.
            best_known: The least value of a feasible string known so far.

        Raises:
            RequestError: The problem is too large for the method.
        """
        began = time.perf_counter()
        found = self.search(problem, rng)
        state = State(problem, found.bits)
        repaired = state.violation > 0 and repair(state)
        value = float(problem.value(state.bits))
        seconds = time.perf_counter() - began
        if state.violation == 0 and (best_known is None or value < best_known):
            best_known = value
        return Solution(
            solver=self.kind,
            bits=state.bits,
            value=value,
            violation=state.violation,
            repaired=repaired,
            seconds=seconds,
            evaluations=found.evaluations + state.evaluations,
            circuits=found.circuits,
            shots=found.shots,
            best_known=best_known,
        )


def against_best(solutions: list[Solution], best_known: float | None = None) -> list[Solution]:
    """Returns the solutions with the least feasible value among them (and ``best_known``) as best known."""
    values = [solution.value for solution in solutions if solution.feasible]
    values += [] if best_known is None else [best_known]
    return [replace(solution, best_known=min(values) if values else None) for solution in solutions]

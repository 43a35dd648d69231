"""Who takes part in a round."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from qfedfm.core.config import Config


class UniformSampler(Config):
    """A uniform choice without replacement."""

    kind: Literal["uniform"] = "uniform"

    def sample(
        self, sizes: np.ndarray, cohort: int, round_number: int, rng: np.random.Generator
    ) -> list[int]:
        """Returns ``cohort`` distinct clients, ascending.

        Args:
            sizes: Training examples per client, shape (N,).
            cohort: How many to choose.
            round_number: The round, from 0.
            rng: The round's stream.
        """
        return sorted(int(k) for k in rng.choice(len(sizes), size=cohort, replace=False))


class BySizeSampler(Config):
    """A choice without replacement, with probability in proportion to the number of examples."""

    kind: Literal["by_size"] = "by_size"

    def sample(
        self, sizes: np.ndarray, cohort: int, round_number: int, rng: np.random.Generator
    ) -> list[int]:
        """Returns ``cohort`` distinct clients, ascending; arguments as for the uniform choice."""
        chances = sizes / sizes.sum()
        return sorted(int(k) for k in rng.choice(len(sizes), size=cohort, replace=False, p=chances))


class CyclicSampler(Config):
    """Clients in turn: ``cohort`` of them, continuing where the last round stopped."""

    kind: Literal["cyclic"] = "cyclic"

    def sample(
        self, sizes: np.ndarray, cohort: int, round_number: int, rng: np.random.Generator
    ) -> list[int]:
        """Returns the next ``cohort`` clients, ascending; arguments as for the uniform choice."""
        first = round_number * cohort
        return sorted((first + i) % len(sizes) for i in range(cohort))


class BalancedSampler(Config):
    """Of some clients drawn uniformly, those whose joint class frequencies are nearest to everybody's.

    A QUBO (:mod:`qfedfm.optim.decisions.clients`); the clients disclose their class counts to the server.

    Args:
        candidates: Clients drawn for each place in the cohort; 1 is the uniform choice.
        solver: What solves the QUBO, with its default options.
    """

    kind: Literal["balanced"] = "balanced"
    candidates: Annotated[float, Field(ge=1)] = 3.0
    solver: Literal["exact", "greedy", "swap", "tabu", "annealing", "quantum_annealing", "bifurcation"] = (
        "swap"
    )

    def sample(
        self,
        sizes: np.ndarray,
        cohort: int,
        round_number: int,
        rng: np.random.Generator,
        counts: np.ndarray | None = None,
    ) -> list[int]:
        """Returns ``cohort`` distinct clients, ascending.

        Args:
            sizes: Training examples per client, shape (N,).
            cohort: How many to choose.
            round_number: The round, from 0.
            rng: The round's stream.
            counts: Examples of each class per client, shape (N, C).
        """
        from pydantic import TypeAdapter

        from qfedfm.optim.decisions import choose_clients
        from qfedfm.optim.qubo import QuboSolver, Solver

        assert counts is not None
        drawn = min(len(sizes), max(cohort, round(self.candidates * cohort)))
        pool = np.sort(rng.choice(len(sizes), size=drawn, replace=False))
        solver: Solver = TypeAdapter(QuboSolver).validate_python({"kind": self.solver})
        found = choose_clients(counts[pool], cohort, solver, rng, counts.sum(axis=0) / counts.sum())
        return [int(pool[place]) for place in found.chosen]


SamplerConfig = Annotated[
    UniformSampler | BySizeSampler | CyclicSampler | BalancedSampler, Field(discriminator="kind")
]

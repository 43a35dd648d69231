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


SamplerConfig = Annotated[UniformSampler | BySizeSampler | CyclicSampler, Field(discriminator="kind")]

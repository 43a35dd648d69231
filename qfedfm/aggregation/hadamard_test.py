"""Weights by the Hadamard test. Cleve, Ekert, Macchiavello and Mosca, 1998, arXiv:quant-ph/9708016."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from qfedfm.aggregation.overlaps import hadamard_tested
from qfedfm.aggregation.similarity import Similarity, Values


class HadamardTest(Similarity):
    """score_k = max(0, ĉ_k), from ``shots`` Hadamard tests of u_k and r; an opposite update has weight 0.

    Args:
        shots: M for each client.
    """

    kind: Literal["hadamard_test"] = "hadamard_test"
    shots: Annotated[int, Field(ge=1)] = 1024

    def scores(self, cosine: Values, rng: np.random.Generator) -> Values:
        """Returns the estimated cosine where it is positive."""
        return np.maximum(0.0, hadamard_tested(cosine, self.shots, rng))

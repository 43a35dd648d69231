"""Weights by exact cosines: the classical twin of the quantum tests. Cao et al., 2021, arXiv:2012.13995."""

from __future__ import annotations

from typing import Literal

import numpy as np

from qfedfm.aggregation.similarity import Similarity, Values


class Cosine(Similarity):
    """score_k = max(0, cos(u_k, r)), in d multiplications; an update against the others has weight 0."""

    kind: Literal["cosine"] = "cosine"

    def scores(self, cosine: Values, rng: np.random.Generator) -> Values:
        """Returns max(0, c)."""
        return np.maximum(0.0, cosine)

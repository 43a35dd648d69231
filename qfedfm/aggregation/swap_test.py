"""Weights by the swap test. Buhrman, Cleve, Watrous and de Wolf, 2001, arXiv:quant-ph/0102001.

The swap test measures F = c² and so cannot tell an update u from −u: a client that sends the opposite of what
it should gets the weight of one that sends it right. Use it only where that is known not to happen;
:mod:`qfedfm.aggregation.hadamard_test` sees the sign.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from qfedfm.aggregation.overlaps import swap_tested
from qfedfm.aggregation.similarity import Similarity, Values


class SwapTest(Similarity):
    """score_k = √max(0, F̂_k), from ``shots`` swap tests of u_k and r; blind to the sign of u_k.

    Args:
        shots: M for each client.
    """

    kind: Literal["swap_test"] = "swap_test"
    shots: Annotated[int, Field(ge=1)] = 1024

    def scores(self, cosine: Values, rng: np.random.Generator) -> Values:
        """Returns the root of the estimated fidelity."""
        return np.sqrt(np.maximum(0.0, swap_tested(cosine, self.shots, rng)))

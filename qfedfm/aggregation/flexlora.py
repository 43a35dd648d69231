"""FlexLoRA: the sum is decomposed and each client gets its rank of it. Bai et al., 2024, arXiv:2402.11505.

    U Σ Vᵀ = SVD(Σ p_k s_k B_k A_k) truncated to r;  B = U Σ / s,  A = Vᵀ

A client of rank r_k takes the first r_k triples, which are its best approximation. Mixed ranks; what is
beyond the rank is lost.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from qfedfm.aggregation.layers import Factors, Merged
from qfedfm.aggregation.rule import Rule
from qfedfm.aggregation.truncation import truncated_sum


class FlexLora(Rule):
    """The truncated SVD of the sum, with the singular values on B."""

    kind: Literal["flexlora"] = "flexlora"

    mixed_ranks: ClassVar[bool] = True
    fixed_coordinates: ClassVar[bool] = False
    needs_individuals: ClassVar[bool] = True

    def merge(self, found: Factors) -> Merged:
        """Returns ``A = Vᵀ`` and ``B = U Σ / s``."""
        U, sigma, Vt = truncated_sum(found, found.layer.rank)
        return Merged(Vt, U * sigma / found.s)

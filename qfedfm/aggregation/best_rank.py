"""The best rank-r approximation of the sum, with balanced factors. Eckart and Young, 1936.

    U Σ Vᵀ = SVD(Σ p_k s_k B_k A_k) truncated to r;  B = U √Σ / √s,  A = √Σ Vᵀ / √s

The product is FlexLoRA's; the factors are balanced (BᵀB = A Aᵀ), so that one learning rate fits both.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from qfedfm.aggregation.layers import Factors, Merged
from qfedfm.aggregation.rule import Rule
from qfedfm.aggregation.truncation import truncated_sum


class BestRank(Rule):
    """The truncated SVD of the sum, with the singular values on both factors alike."""

    kind: Literal["best_rank"] = "best_rank"

    mixed_ranks: ClassVar[bool] = True
    fixed_coordinates: ClassVar[bool] = False
    needs_individuals: ClassVar[bool] = True

    def merge(self, found: Factors) -> Merged:
        """Returns ``A = √Σ Vᵀ / √s`` and ``B = U √Σ / √s``; a direction without signal keeps its A."""
        import torch

        U, sigma, Vt = truncated_sum(found, found.layer.rank)
        root = (sigma / found.s).sqrt()
        return Merged(torch.where(sigma > 0, root, 1.0).unsqueeze(1) * Vt, U * root)

"""FedEx-LoRA: factor means, and the rest goes into the frozen weight. Singhal et al., 2024, arXiv:2410.09432.

    Ā, B̄ as in FedIT;  W0 += Σ p_k s_k B_k A_k − s B̄ Ā  =  s Σ p_k (B_k − B̄)(A_k − Ā)  where all s_k = s

Exact; the residual has rank at most (K−1)·r and travels.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from qfedfm.aggregation.layers import Factors, Merged
from qfedfm.aggregation.rule import Rule


class FedExLora(Rule):
    """The means of both factors and the residual."""

    kind: Literal["fedex_lora"] = "fedex_lora"

    fixed_coordinates: ClassVar[bool] = False
    moves_frozen: ClassVar[bool] = True
    needs_individuals: ClassVar[bool] = True

    def merge(self, found: Factors) -> Merged:
        """Returns Ā, B̄ and the residual in its factored form, which has no cancellation."""
        import torch

        A, B = found.mean
        weights = found.p_K * found.s_K
        up, down = [], []
        if bool((found.s_K == found.s).all()):
            centred = found.B_Kor - B
            up, down = list(weights.view(-1, 1, 1) * centred), list(found.A_Kri - A)
        else:
            stacked = found.stacked
            up, down = [stacked[0], -found.s * B], [stacked[1], A]
        return Merged(A, B, (torch.cat(up, dim=1), torch.cat(down)))

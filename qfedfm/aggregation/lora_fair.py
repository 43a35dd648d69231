"""LoRA-FAIR: B̄ is corrected towards the exact sum. Bian et al., 2024, arXiv:2411.14961.

The paper minimises a similarity measure iteratively; the Frobenius form here is ours, because it has a
closed form (ridge regression):

    min over ΔB of ‖M − (B̄ + ΔB) Ā‖_F² + λ ‖ΔB‖_F²,   M = Σ p_k (s_k / s) B_k A_k
    ΔB = (M − B̄ Ā) Āᵀ (Ā Āᵀ + λ I)⁻¹,   Ā is kept
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from qfedfm.aggregation.layers import Factors, Merged
from qfedfm.aggregation.rule import Rule


class LoraFair(Rule):
    """Ā, and ``B̄ + ΔB``.

    Args:
        ridge: λ, the pull of ΔB to zero.
    """

    kind: Literal["lora_fair"] = "lora_fair"
    ridge: Annotated[float, Field(gt=0)] = 0.01

    fixed_coordinates: ClassVar[bool] = False
    needs_individuals: ClassVar[bool] = True

    def merge(self, found: Factors) -> Merged:
        """Returns Ā and the corrected B̄."""
        import torch

        A, B = found.mean
        up, down = found.stacked
        missing = up @ (down @ A.mT) / found.s - B @ (A @ A.mT)
        gram = A @ A.mT + self.ridge * torch.eye(A.shape[0], dtype=A.dtype, device=A.device)
        return Merged(A, B + torch.linalg.solve(gram, missing.mT).mT)

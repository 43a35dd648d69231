"""FLoRA: the factors are stacked and merged into the frozen weight. Wang et al., 2024, arXiv:2409.05976.

    A = [A_1; …; A_K],  B = [p_1 s_1 B_1 | … | p_K s_K B_K],  W0 += B A

Weight and scale stand on one factor only, and the merge itself has scale 1. Exact for mixed ranks; the
download grows with Σ r_k. The clients then start from fresh factors (B = 0), which every client draws
from the round's stream, so that they need not travel.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from qfedfm.aggregation.layers import Factors, Merged, is_down, is_up
from qfedfm.aggregation.rule import Rule


class FLora(Rule):
    """The stacked sum goes into the frozen weights; the factors start anew."""

    kind: Literal["flora"] = "flora"

    mixed_ranks: ClassVar[bool] = True
    fixed_coordinates: ClassVar[bool] = False
    moves_frozen: ClassVar[bool] = True
    needs_individuals: ClassVar[bool] = True

    def drawn(self, name: str) -> bool:
        """Returns whether ``name`` is a factor."""
        return is_down(name) or is_up(name)

    def moved(self, name: str, round_number: int) -> bool:
        """Returns whether ``name`` is not a factor."""
        return not self.drawn(name)

    def merge(self, found: Factors) -> Merged:
        """Returns fresh factors and the stack as what is added to the frozen weight."""
        import torch

        B, A = found.stacked
        shape = found.start[0].shape
        generator = found.streams.torch("restart", found.layer.module)
        # As LoRA's own start: uniform in ±1/√inputs, in float32 so that client and server draw the same.
        fresh = (torch.rand(shape, generator=generator) * 2 - 1) / math.sqrt(shape[1])
        return Merged(fresh.to(A), torch.zeros_like(found.start[1]), (B, A))

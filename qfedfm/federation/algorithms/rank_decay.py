"""Rank decay: HetLoRA's pull on the last rows of each factor. Cho et al., 2024, arXiv:2401.06432, equation 3.

The local loss gains ``λ ‖B[:, γ r:]‖_F ‖A[γ r:]‖_F`` per layer, so that ranks which are not needed can be
pruned by ``aggregation: {kind: hetlora, prune: γ}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from qfedfm.aggregation.layers import is_down
from qfedfm.federation.algorithms.base import Algorithm, Vectors

if TYPE_CHECKING:
    from torch import Tensor

    from qfedfm.core.tensors import FlatTensors


class RankDecay(Algorithm):
    """Plain training with that term.

    Args:
        strength: λ.
        keep: γ, the part of the rank that is left alone.
    """

    kind: Literal["rank_decay"] = "rank_decay"
    strength: Annotated[float, Field(ge=0)] = 5e-4
    keep: Annotated[float, Field(gt=0, lt=1)] = 0.9

    def begin(self, start: Tensor, server: Vectors, client: Vectors) -> Vectors:
        """Keeps the start, whose zero rows show the client's rank."""
        return {"start": start}

    def correct(self, leaves: Mapping[str, Tensor], local: Mapping[str, FlatTensors]) -> None:
        """Adds the gradients ``λ ‖A_t‖ B_t / ‖B_t‖`` and ``λ ‖B_t‖ A_t / ‖A_t‖`` of the tails."""
        for name, down in leaves.items():
            if not is_down(name):
                continue
            up = leaves[name[:-1] + "B"]
            rank = int(local["start"][name].abs().sum(1).count_nonzero())
            kept = max(1, int(self.keep * rank))
            A, B = down.detach()[kept:rank], up.detach()[:, kept:rank]
            a, b = A.norm(), B.norm()
            if up.grad is not None and float(b) > 0:
                up.grad[:, kept:rank] += self.strength * a / b * B
            if down.grad is not None and float(a) > 0:
                down.grad[kept:rank] += self.strength * b / a * A

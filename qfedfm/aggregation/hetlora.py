"""HetLoRA: clients of different ranks, padded with zeros. Cho et al., 2024, arXiv:2401.06432.

A client of rank r_k starts from the first r_k rows of A and columns of B; the server pads what comes back
with zeros and averages the factors with weights in proportion to ``‖B_k A_k‖_F`` over all layers. The bias
of factor means stays. With ``prune`` below 1 a client whose last rows lost weight in local training
(``‖B_k[:, γ r_k:]‖ ‖A_k[γ r_k:]‖`` summed over layers fell) continues with rank ``⌊γ r_k⌋``; the paper's
term in the local loss that pushes these rows down is ``client.algorithm: {kind: rank_decay}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from qfedfm.aggregation.cohort import Cohort, Combined
from qfedfm.aggregation.layers import Factors, Merged, factors, lora_layers
from qfedfm.aggregation.lowrank import norm
from qfedfm.aggregation.rule import Rule, State

if TYPE_CHECKING:
    from torch import Tensor

_RANK = "rank/"


class HetLora(Rule):
    """Zero-padded factor means, weighted by the size of each client's product.

    Args:
        prune: γ; 1 keeps all ranks as they are.
    """

    kind: Literal["hetlora"] = "hetlora"
    prune: Annotated[float, Field(gt=0, le=1)] = 1.0

    mixed_ranks: ClassVar[bool] = True
    needs_individuals: ClassVar[bool] = True

    def ranks(self, state: State, configured: Mapping[int, int]) -> Mapping[int, int]:
        """Returns the configured ranks, less what was pruned."""
        pruned = {int(n.removeprefix(_RANK)): int(t) for n, t in state.items() if n.startswith(_RANK)}
        return {k: min(rank, pruned.get(k, rank)) for k, rank in configured.items()}

    def combine(self, state: State, cohort: Cohort) -> tuple[Combined, dict[str, Tensor]]:
        """Returns the padded means; the head's tensors are averaged by examples."""
        import torch

        p_K = self.weights(cohort)
        combined, after = super().combine(state, cohort)
        view = cohort.layout.view(combined.delta)
        squares = torch.zeros(len(cohort.clients), dtype=torch.float64)
        found = [
            factors(cohort, layer, p_K.to(combined.delta.device)) for layer in lora_layers(cohort.layout)
        ]
        for layer in found:
            for k, rank in enumerate(layer.ranks):
                squares[k] += norm(layer.B_Kor[k, :, :rank], layer.A_Kri[k, :rank]) ** 2
        sizes = squares.sqrt()
        weights = (sizes / sizes.sum() if float(sizes.sum()) > 0 else p_K).to(combined.delta.device)
        for layer in found:
            merged = self._padded(layer, weights)
            view[layer.layer.down].copy_(merged.A - layer.start[0])
            view[layer.layer.up].copy_(merged.B - layer.start[1])
        if self.prune < 1:
            after |= self._pruned(cohort, found)
        return combined, after

    @staticmethod
    def _padded(found: Factors, weights: Tensor) -> Merged:
        import torch

        return Merged(
            torch.einsum("k,kri->ri", weights, found.A_Kri), torch.einsum("k,kor->or", weights, found.B_Kor)
        )

    def _pruned(self, cohort: Cohort, found: list[Factors]) -> dict[str, Tensor]:
        """Returns the new ranks of clients whose last rows lost weight."""
        import torch

        result = {}
        for k, client in enumerate(cohort.clients):
            rank = found[0].ranks[k]
            kept = max(1, int(self.prune * rank))
            if kept == rank:
                continue
            before = sum(_tail(f.start[0][:rank], f.start[1][:, :rank], kept) for f in found)
            now = sum(_tail(f.A_Kri[k, :rank], f.B_Kor[k, :, :rank], kept) for f in found)
            if now < before:
                result[f"{_RANK}{client}"] = torch.tensor(kept)
        return result


def _tail(A: Tensor, B: Tensor, kept: int) -> float:
    return float(A[kept:].norm() * B[:, kept:].norm())

"""The best rank-r approximation of ``Σ p_k s_k B_k A_k``, by QR of the stacked factors and a small SVD.

Shared by FlexLoRA and the best-rank rule; no dense matrix is formed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qfedfm.aggregation.layers import Factors
from qfedfm.aggregation.lowrank import singular

if TYPE_CHECKING:
    from torch import Tensor

ZERO = 1e-12
"""Singular values up to this part of the largest are rounding, not signal."""


def truncated_sum(found: Factors, rank: int) -> tuple[Tensor, Tensor, Tensor]:
    """Returns (U, σ, Vᵀ) of the first ``rank`` singular triples, filled with zeros where there are fewer.

    Args:
        found: The clients' factors.
        rank: At most the smaller side of the layer.

    Returns:
        Shapes (o, r), (r,), (r, i). Where σ is zero the row of Vᵀ is the global A's, so that the
        direction stays alive for training, and U is zero.
    """
    import torch

    U, sigma, Vt = singular(*found.stacked, count=rank)
    top = float(sigma[0]) if len(sigma) else 0.0
    count = min(rank, int((sigma > ZERO * top).sum()) if top > 0 else 0)
    out_U = torch.zeros(U.shape[0], rank, dtype=U.dtype, device=U.device)
    out_sigma = torch.zeros(rank, dtype=U.dtype, device=U.device)
    out_Vt = found.mean[0][:rank].clone()
    out_U[:, :count], out_sigma[:count], out_Vt[:count] = U[:, :count], sigma[:count], Vt[:count]
    return out_U, out_sigma, out_Vt

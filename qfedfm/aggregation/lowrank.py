"""Products of tall factors, without ever forming the product.

Shapes: o = outputs of a layer, i = inputs, R = columns of B and rows of A.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def core(B_oR: Tensor, A_Ri: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns (Q1, M, Q2) with ``B A = Q1 M Q2ᵀ`` from thin QR of B and Aᵀ (orthonormal columns)."""
    import torch

    q1, t1 = torch.linalg.qr(B_oR)
    q2, t2 = torch.linalg.qr(A_Ri.mT)
    return q1, t1 @ t2.mT, q2


def norm(B_oR: Tensor, A_Ri: Tensor) -> float:
    """Returns ``‖B A‖_F = ‖T1 T2ᵀ‖_F`` of the QR factors: no cancellation, floor about 1e-15 in float64."""
    import torch

    t1 = torch.linalg.qr(B_oR, mode="r").R
    t2 = torch.linalg.qr(A_Ri.mT, mode="r").R
    return float(torch.linalg.matrix_norm(t1 @ t2.mT))


def singular(B_oR: Tensor, A_Ri: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns (U, σ, Vᵀ) of ``B A``: shapes (o, m), (m,), (m, i) with m = min(o, i, R), σ descending.

    The sign of each pair is fixed (the largest entry of a row of Vᵀ is positive), so that equal products
    give equal factors whatever their gauge.
    """
    import torch

    q1, middle, q2 = core(B_oR, A_Ri)
    u, sigma, vt = torch.linalg.svd(middle, full_matrices=False)
    U, Vt = q1 @ u, vt @ q2.mT
    rows = torch.arange(len(sigma), device=Vt.device)
    sign = torch.where(Vt[rows, Vt.abs().argmax(1)] < 0, -1.0, 1.0).to(Vt.dtype)
    return U * sign, sigma, Vt * sign.unsqueeze(1)


def compact(B_oR: Tensor, A_Ri: Tensor, tolerance: float) -> tuple[Tensor, Tensor]:
    """Returns factors of the same product with as few columns as its numerical rank.

    Args:
        B_oR: Shape (o, R).
        A_Ri: Shape (R, i).
        tolerance: Singular values up to this part of the largest count as zero.

    Returns:
        (B, A) of shapes (o, m) and (m, i), m at least 0, with the singular values on B.
    """
    U, sigma, Vt = singular(B_oR, A_Ri)
    kept = int((sigma > tolerance * sigma[0]).sum()) if len(sigma) and float(sigma[0]) > 0 else 0
    return (U[:, :kept] * sigma[:kept]).contiguous(), Vt[:kept].contiguous()

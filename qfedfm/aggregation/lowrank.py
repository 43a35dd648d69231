"""Products of tall factors, without ever forming the product.

Shapes: o = outputs of a layer, i = inputs, R = columns of B and rows of A.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

LARGE = 256
"""Sides from which on the leading singular vectors are worth finding alone."""
CLEAR = 1e-4
"""Part of the largest singular value above which squaring does no harm in float64."""


def norm(B_oR: Tensor, A_Ri: Tensor) -> float:
    """Returns ``‖B A‖_F = ‖T1 T2ᵀ‖_F`` of the QR factors: no cancellation, floor about 1e-15 in float64."""
    import torch

    t1 = torch.linalg.qr(B_oR, mode="r").R
    t2 = torch.linalg.qr(A_Ri.mT, mode="r").R
    return float(torch.linalg.matrix_norm(t1 @ t2.mT))


def singular(B_oR: Tensor, A_Ri: Tensor, count: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Returns (U, σ, Vᵀ) of ``B A``: shapes (o, m), (m,), (m, i) with m = min(o, i, R), σ descending.

    ``B A = Q1 T1 T2ᵀ Q2ᵀ`` from QR of B and Aᵀ; the small matrix T1 T2ᵀ is decomposed, and the reflectors are
    applied to its vectors without forming Q1 and Q2. The sign of each pair is fixed (the largest entry of a
    row of Vᵀ is positive), so that equal products give equal factors whatever their gauge.

    Args:
        B_oR: Shape (o, R).
        A_Ri: Shape (R, i).
        count: Only so many triples, the largest; None for all.
    """
    import torch

    left, right = torch.geqrf(B_oR), torch.geqrf(A_Ri.mT)
    u, sigma, vt = _leading(_triangle(left.a) @ _triangle(right.a).mT, count)
    U, V = _rotated(left, u), _rotated(right, vt.mT)
    columns = torch.arange(len(sigma), device=V.device)
    sign = torch.where(V[V.abs().argmax(0), columns] < 0, -1.0, 1.0).to(V.dtype)
    return U * sign, sigma, (V * sign).mT


def _triangle(a: Tensor) -> Tensor:
    return a[: min(a.shape)].triu()


def _rotated(reflectors: tuple[Tensor, Tensor], columns: Tensor) -> Tensor:
    """Returns ``Q [columns; 0]`` of the reflectors that geqrf left."""
    import torch

    a, tau = reflectors
    padded = torch.cat([columns, columns.new_zeros(a.shape[0] - columns.shape[0], columns.shape[1])])
    return torch.ormqr(a[:, : len(tau)], tau, padded)


def _leading(middle: Tensor, count: int | None) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the SVD of a small matrix, or its first ``count`` triples.

    Of a matrix that is not so small the leading triples come from the eigenvectors of ``M Mᵀ``, several times
    faster, and are then exact within their span; squaring costs digits of small values, so that it is only
    done where those that are wanted are none.
    """
    import torch

    if count is not None and LARGE <= min(middle.shape) and count <= min(middle.shape) // 8:
        u = torch.linalg.eigh(middle @ middle.mT).eigenvectors[:, -count:]
        u = torch.linalg.qr(middle @ (middle.mT @ u)).Q
        small, sigma, vt = torch.linalg.svd(u.mT @ middle, full_matrices=False)
        if float(sigma[-1]) > CLEAR * float(sigma[0]):
            return u @ small, sigma, vt
    found = torch.linalg.svd(middle, full_matrices=False)
    return found.U[:, :count], found.S[:count], found.Vh[:count]


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

"""How exact a round was: what the clients receive against ``Σ p_k s_k B_k A_k``, layer by layer.

    e = ‖Σ p_k s_k B_k A_k − s B_out A_out − R‖_F / ‖Σ p_k s_k B_k A_k‖_F

R is what is folded into the frozen weight. The difference is written as one product of stacked factors,
``[p_1 s_1 B_1 | … | −s B_out | −R_B] [A_1; …; A_out; R_A]``, whose norm is that of the small triangles of
two QR decompositions: no dense matrix, and no cancellation as a difference of traces would have.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qfedfm.aggregation.cohort import Cohort, Combined
from qfedfm.aggregation.layers import Factors, Layer, factors, lora_layers
from qfedfm.aggregation.lowrank import norm, singular
from qfedfm.core.errors import RunError

if TYPE_CHECKING:
    from torch import Tensor

RANK_TOLERANCE = 1e-7


@dataclass(frozen=True)
class LayerCertificate:
    """One layer of one round.

    Args:
        module: Its name.
        error: e above; 0 where the true sum is 0.
        zero: Whether the true sum is 0 (before the first step, say), so that e has no meaning.
        rank: The numerical rank of the true sum, singular values above 1e-7 of the largest.
        drift: ``sqrt(Σ p_k ‖D_k − D̄‖² / Σ p_k ‖D_k‖²)`` with ``D_k = s_k B_k A_k − s B A``, the change of
            the product at client k: 0 if all clients moved alike, 1 if their changes cancel. It does not
            depend on the gauge (B R, R⁻¹ A).
    """

    module: str
    error: float
    zero: bool
    rank: int
    drift: float

    def plain(self) -> dict[str, Any]:
        """Returns JSON-ready builtins."""
        return {"error": self.error, "zero": self.zero, "rank": self.rank, "drift": self.drift}


def certify(cohort: Cohort, combined: Combined, p_K: Tensor) -> tuple[LayerCertificate, ...]:
    """Returns the certificates of all LoRA layers, in the layout's order; none without LoRA.

    Args:
        cohort: The admitted updates; needs ``start``.
        combined: What the rule made of them.
        p_K: The clients' weights.
    """
    p_K = p_K.to(cohort.delta_KD.device)
    return tuple(
        _layer(factors(cohort, layer, p_K), cohort, combined) for layer in lora_layers(cohort.layout)
    )


def received(cohort: Cohort, combined: Combined, layer: Layer) -> tuple[Tensor, Tensor]:
    """Returns (B, A), stacked, whose product is all that changes layer ``layer`` for the next round."""
    import torch

    start = cohort.start if cohort.start is not None else torch.zeros_like(combined.delta)
    after = cohort.layout.view(start + combined.delta)
    up, down = cohort.scale * after[layer.up].double(), after[layer.down].double()
    if layer.module in combined.frozen:
        more_up, more_down = (t.double() for t in combined.frozen[layer.module])
        return torch.cat([up, more_up], dim=1), torch.cat([down, more_down])
    return up, down


def _layer(found: Factors, cohort: Cohort, combined: Combined) -> LayerCertificate:
    import torch

    B, A = found.stacked
    B_out, A_out = received(cohort, combined, found.layer)
    sigma = singular(B, A)[1]
    whole = float(sigma.norm())
    error = norm(torch.cat([B, -B_out], dim=1), torch.cat([A, A_out])) / whole if whole > 0 else 0.0
    rank = int((sigma > RANK_TOLERANCE * sigma[0]).sum()) if whole > 0 else 0
    return LayerCertificate(found.layer.module, error, whole == 0, rank, drift(found))


def drift(found: Factors) -> float:
    """Returns how far the clients' changes of the product lie from each other, 0 to 1."""
    import torch

    (A, B), rank = found.start, found.layer.rank
    up = torch.cat([found.s_K.view(-1, 1, 1) * found.B_Kor, (found.s * B).unsqueeze(0)])
    down = torch.cat([found.A_Kri, A.unsqueeze(0)])
    count = up.shape[0]
    # ⟨B_i A_i, B_j A_j⟩ = tr(B_iᵀ B_j · A_j A_iᵀ), for all pairs at once.
    wide = up.permute(1, 0, 2).reshape(up.shape[1], -1)
    flat = down.reshape(count * rank, -1)
    gram = ((wide.mT @ wide) * (flat @ flat.mT)).reshape(count, rank, count, rank).sum((1, 3))
    gram = gram[:-1, :-1] - gram[:-1, -1:] - gram[-1:, :-1] + gram[-1, -1]
    spread = float(found.p_K @ gram.diagonal())
    apart = spread - float(found.p_K @ gram @ found.p_K)
    return max(0.0, apart / spread) ** 0.5 if spread > 0 else 0.0


def verify(
    cohort: Cohort,
    combined: Combined,
    p_K: Tensor,
    found: tuple[LayerCertificate, ...],
    tolerance: float = 1e-6,
) -> None:
    """Forms the dense matrices of every layer and compares.

    Raises:
        RunError: If a certificate differs from the dense value by more than ``tolerance``.
    """
    import torch

    p_K = p_K.to(cohort.delta_KD.device)
    for layer, certificate in zip(lora_layers(cohort.layout), found, strict=True):
        parts = factors(cohort, layer, p_K)
        true = torch.einsum("k,kor,kri->oi", parts.p_K * parts.s_K, parts.B_Kor, parts.A_Kri)
        B, A = received(cohort, combined, layer)
        whole = float(true.norm())
        error = float((true - B @ A).norm()) / whole if whole > 0 else 0.0
        if abs(error - certificate.error) > tolerance:
            raise RunError(
                f"the certificate of {layer.module} in round {cohort.round + 1} is "
                f"{certificate.error:.3e}, but the dense matrices give {error:.3e}"
            )

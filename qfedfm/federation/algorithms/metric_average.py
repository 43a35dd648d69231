"""Metric-weighted averaging of circuit weights: whoever's state would move more counts for more.

θ ← θ + (Σ p_k G_k)⁻¹ Σ p_k G_k δ_k,   G_k = g_k + λ1

g_k is the Fubini–Study metric of client k's circuit at the weights that it ends with, averaged over its first
batch; δ_k is how far it moved. That is the minimum of ``Σ p_k (θ − θ_k)ᵀ G_k (θ − θ_k)``: Fisher-weighted
averaging (Matena and Raffel, 2022, arXiv:2111.09832) with the quantum metric, which needs no labels. With
equal metrics, or a large λ, it is the plain mean.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from qfedfm.core.errors import RequestError
from qfedfm.federation.algorithms.base import Algorithm, Vectors

if TYPE_CHECKING:
    from torch import Tensor

    from qfedfm.aggregation.cohort import Cohort
    from qfedfm.core.tensors import Layout
    from qfedfm.optim.circuits.landscape import Landscape


class MetricAverage(Algorithm):
    """Clients send their metric beside the difference; all but the circuit's weights is averaged as ever.

    Args:
        metric: ``full``, ``block`` (0 between weights of different layers) or ``diagonal``.
        damping: λ.
    """

    kind: Literal["metric_average"] = "metric_average"
    metric: Literal["full", "block", "diagonal"] = "full"
    damping: Annotated[float, Field(gt=0)] = 1e-2

    auxiliary: ClassVar[tuple[str, ...]] = ("metric",)
    rescales: ClassVar[bool] = True
    measures: ClassVar[bool] = True
    needs_circuit: ClassVar[bool] = True

    def auxiliary_shapes(self, layout: Layout) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Returns the metric's name and shape, (w, w) or (w,)."""
        from qfedfm.optim.client import CIRCUIT_WEIGHTS

        if CIRCUIT_WEIGHTS not in layout.slices:
            raise RequestError(
                "client.algorithm metric_average weighs the weights of a circuit, and the head trains none; "
                "use model.head {kind: quantum}, or client.algorithm {kind: sgd}"
            )
        (width,) = layout.slices[CIRCUIT_WEIGHTS][2]
        return (("metric", (width,) if self.metric == "diagonal" else (width, width)),)

    def measure(self, landscape: Landscape) -> Vectors:
        """Returns the clients' metrics, float32."""
        return {"metric": landscape.metric(self.metric).float()}

    def on_cohort(self, cohort: Cohort, p_K: Tensor) -> Cohort:
        """Returns the cohort with circuit rows ``(Σ p G)⁻¹ G_k δ_k``, whose mean is the weighted one."""
        from qfedfm.optim.client import CIRCUIT_WEIGHTS

        metric = cohort.auxiliary["metric"].double()
        rows = cohort.delta_KD.clone()
        part = cohort.layout.view(rows)[CIRCUIT_WEIGHTS]
        weighted = weigh(metric, part.double(), p_K.to(metric), self.damping)
        part.copy_(weighted)
        return replace(cohort, delta_KD=rows)


def weigh(metric: Tensor, delta_Kw: Tensor, p_K: Tensor, damping: float) -> Tensor:
    """Returns ``(Σ p_j G_j)⁻¹ G_k δ_k`` for every client, (K, w), float64.

    Args:
        metric: g, (K, w, w), or its diagonal, (K, w).
        delta_Kw: δ.
        p_K: Weights that add up to 1.
        damping: λ.
    """
    import torch

    if metric.dim() == 2:
        own = metric.clamp(min=0.0) + damping
        return own * delta_Kw / (p_K @ own)
    unit = torch.eye(metric.shape[-1], dtype=metric.dtype, device=metric.device)
    own = (metric + metric.mT) / 2 + damping * unit
    total = torch.einsum("k,kij->ij", p_K, own)
    moved = torch.einsum("kij,kj->ki", own, delta_Kw)
    found: Tensor = torch.linalg.solve(total, moved.T).T
    return found

"""Quantum natural gradient. Stokes, Izaac, Killoran and Carleo, 2020, arXiv:1909.02108.

w ← w − η (g + λ1)⁺ ∇L

g is the Fubini–Study metric (a quarter of the quantum Fisher information) averaged over the batch. Weights
whose gradient is identically zero are not trained, and their rows and columns are dropped before the
pseudo-inverse. Momentum is that of the natural gradients (Borysenko et al., 2024, arXiv:2409.01978).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from qfedfm.optim.circuits.base import CircuitOptimizer

if TYPE_CHECKING:
    from qfedfm.optim.circuits.landscape import Landscape

SMALLEST = 1e-10
"""Eigenvalues below this part of the largest count as zero in the pseudo-inverse."""


class QuantumNaturalGradient(CircuitOptimizer):
    """Natural gradients of all clients in one call.

    Args:
        params: One leaf, (K, w) or (w,).
        lr: η.
        metric: ``full``, ``block`` (0 between weights of different layers) or ``diagonal``.
        damping: λ.
        momentum: Of the natural gradients.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        metric: Literal["full", "block", "diagonal"] = "block",
        damping: float = 1e-2,
        momentum: float = 0.0,
    ) -> None:
        super().__init__(params, lr, momentum, metric=metric, damping=damping)
        self._metric: Tensor | None = None

    def observe(self, landscape: Landscape) -> None:
        """Evaluates the metric."""
        self._metric = landscape.metric(self.option("metric"))

    def direction(self, gradient_Kw: Tensor) -> Tensor:
        """Returns the natural gradients."""
        if self._metric is None:
            raise RuntimeError("observe(landscape) comes before step()")
        metric, self._metric = self._metric, None
        return natural_gradient(metric, gradient_Kw, float(self.option("damping")))


def natural_gradient(metric: Tensor, gradient_Kw: Tensor, damping: float) -> Tensor:
    """Returns ``(g + λ1)⁺ ∇L`` of every client, (K, w), in the gradient's dtype; worked out in float64.

    Args:
        metric: g, (K, w, w), or its diagonal, (K, w).
        gradient_Kw: ∇L.
        damping: λ, 0 or more.
    """
    exact = gradient_Kw.double()
    if metric.dim() == 2:
        return (exact * _inverse(metric.double() + damping)).to(gradient_Kw.dtype)
    values, vectors = torch.linalg.eigh(_finite(metric.double()))
    along = torch.einsum("kij,ki->kj", vectors, exact) * _inverse(values.clamp(min=0.0) + damping)
    return torch.einsum("kij,kj->ki", vectors, along).to(gradient_Kw.dtype)


def _inverse(values: Tensor) -> Tensor:
    largest = values.amax(-1, keepdim=True)
    kept = values > SMALLEST * largest
    return torch.where(kept, 1.0 / torch.where(kept, values, torch.ones_like(values)), 0.0)


def _finite(metric: Tensor) -> Tensor:
    """Returns the metric with that of diverged clients set to 1; their gradients are not finite anyway."""
    good = torch.isfinite(metric).all(-1).all(-1)
    if bool(good.all()):
        return metric
    unit = torch.eye(metric.shape[-1], dtype=metric.dtype, device=metric.device)
    return torch.where(good[:, None, None], metric, unit)

"""QN-SPSA: natural gradients whose metric is sampled too. Gacon et al., 2021, arXiv:2103.09232.

With F(v) = |⟨ψ(w)|ψ(w + v)⟩|² and directions Δ¹, Δ² of independent ±1, the raw estimate of the metric is

    ĝ = −½ · δF / (2ε²) · Δ¹ (Δ²)ᵀ,
    δF = F(ε(Δ¹ + Δ²)) − F(εΔ¹) − F(ε(−Δ¹ + Δ²)) + F(−εΔ¹)

whose mean is the Fubini–Study metric up to O(ε²). It is symmetrised, averaged over the steps so far (from the
identity), made positive by the root of its square, damped by β, and inverted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from qfedfm.optim.circuits.base import CircuitOptimizer, set_gradient, signs
from qfedfm.optim.circuits.spsa import estimate_gradient

if TYPE_CHECKING:
    from qfedfm.optim.circuits.landscape import Landscape


class QNSPSA(CircuitOptimizer):
    """Six evaluations a direction, whatever the number of weights.

    Args:
        params: One leaf, (K, w) or (w,).
        lr: Learning rate.
        perturbation: ε, radians.
        directions: Over how many directions gradient and metric are averaged in a step.
        damping: β; the metric is ``(|g| + β1) / (1 + β)``.
        shots: Measurements per expectation value and per fidelity; None for exact values.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        perturbation: float = 0.1,
        directions: int = 1,
        damping: float = 0.1,
        shots: int | None = None,
    ) -> None:
        super().__init__(
            params, lr, 0.0, perturbation=perturbation, directions=directions, damping=damping, shots=shots
        )

    def observe(self, landscape: Landscape) -> None:
        """Estimates gradient and metric; the metric joins the mean over steps."""
        size, count = float(self.option("perturbation")), int(self.option("directions"))
        shots = self.option("shots")
        set_gradient(self.weights, estimate_gradient(landscape, size, count, shots))
        raw = estimate_metric(landscape, size, count, shots)
        state = self.state[self.weights]
        if "metric" not in state:
            state["metric"] = torch.eye(raw.shape[-1], dtype=torch.float64, device=raw.device).repeat(
                len(raw), 1, 1
            )
            state["step"] = torch.ones((), dtype=torch.float64)
        number = state["step"]
        state["metric"] = (number * state["metric"] + (raw + raw.mT) / 2) / (number + 1)
        state["step"] = number + 1

    def direction(self, gradient_Kw: Tensor) -> Tensor:
        """Returns the natural gradients."""
        damping = float(self.option("damping"))
        values, vectors = torch.linalg.eigh(self.state[self.weights]["metric"])
        inverse = (1 + damping) / (values.abs() + damping)
        along = torch.einsum("kij,ki->kj", vectors, gradient_Kw.double()) * inverse
        return torch.einsum("kij,kj->ki", vectors, along).to(gradient_Kw.dtype)


def estimate_metric(landscape: Landscape, size: float, directions: int, shots: int | None) -> Tensor:
    """Returns the mean of raw estimates of the metric, (K, w, w), float64, not symmetric.

    Args:
        landscape: The batch; the fidelity is the mean over its samples.
        size: ε, radians.
        directions: Over how many pairs of directions.
        shots: Measurements per fidelity.
    """
    weights = landscape.weights
    count = weights.shape[-1]
    both = signs(landscape.generators, (2, directions, count), weights).permute(1, 2, 0, 3)  # (2, D, K, w)
    first, second = both[0], both[1]
    points = torch.cat([first + second, first, second - first, -first]) * size + weights
    fidelity = landscape.fidelities(points, shots).double().reshape(4, directions, -1)
    slope = (fidelity[0] - fidelity[1] - fidelity[2] + fidelity[3]) / (2 * size**2)
    return torch.einsum("dk,dki,dkj->kij", -slope / 2, first.double(), second.double()) / directions

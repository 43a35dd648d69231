"""SPSA: a gradient from two losses, whatever the number of weights. Spall, 1992, IEEE TAC 37(3), 332–341.

ĝ = (L(w + cΔ) − L(w − cΔ)) / (2c) · Δ,   Δ of independent ±1

Step number t (from 0) has the rate ``lr / (t + 1)^lr_decay`` and ``c / (t + 1)^perturbation_decay``; Spall's
guide (1998) takes 0.602 and 0.101, 0 leaves them constant.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from qfedfm.optim.circuits.base import CircuitOptimizer, set_gradient, signs

if TYPE_CHECKING:
    from qfedfm.optim.circuits.landscape import Landscape


class SPSA(CircuitOptimizer):
    """Forward evaluations only.

    Args:
        params: One leaf, (K, w) or (w,).
        lr: The first learning rate.
        perturbation: c, radians.
        directions: Over how many Δ the estimate is averaged.
        momentum: Of the estimates.
        lr_decay: Exponent of the rate's decay.
        perturbation_decay: Exponent of c's decay.
        shots: Measurements per expectation value; None for exact values.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        perturbation: float = 0.1,
        directions: int = 1,
        momentum: float = 0.0,
        lr_decay: float = 0.0,
        perturbation_decay: float = 0.0,
        shots: int | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            momentum,
            perturbation=perturbation,
            directions=directions,
            lr_decay=lr_decay,
            perturbation_decay=perturbation_decay,
            shots=shots,
        )

    def observe(self, landscape: Landscape) -> None:
        """Estimates the gradient."""
        state = self.state[self.weights]
        number = state.get("step")
        state["step"] = number = torch.zeros(()) if number is None else number
        decay = float(self.option("perturbation_decay"))
        size = float(self.option("perturbation")) / (float(number) + 1) ** decay
        set_gradient(
            self.weights,
            estimate_gradient(landscape, size, int(self.option("directions")), self.option("shots")),
        )

    def rate(self, state: dict[str, Any]) -> float:
        """Returns the decayed rate, and counts the step."""
        number = float(state["step"])
        state["step"] += 1
        first, decay = float(self.option("lr")), float(self.option("lr_decay"))
        return float(first / (number + 1) ** decay)


def estimate_gradient(landscape: Landscape, size: float, directions: int, shots: int | None) -> Tensor:
    """Returns the mean of SPSA estimates, (K, w).

    Args:
        landscape: The batch as a function of circuit weights.
        size: c, radians.
        directions: Over how many Δ.
        shots: Measurements per expectation value.
    """
    weights = landscape.weights
    delta = signs(landscape.generators, (directions, weights.shape[-1]), weights).transpose(0, 1)  # (D, K, w)
    losses = landscape.losses(torch.cat([weights + size * delta, weights - size * delta]), shots)
    plus, minus = losses.reshape(2, directions, -1).unbind(0)
    return (((plus - minus) / (2 * size)).unsqueeze(-1) * delta).mean(0)

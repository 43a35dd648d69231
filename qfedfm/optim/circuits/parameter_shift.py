"""Descent on parameter-shift gradients with a finite number of shots, as a quantum processor gives them.

Mitarai et al., 2018, arXiv:1803.00745; Schuld et al., 2019, arXiv:1811.11184. With a loss that is not linear
in the expectation values, the estimate has a bias of the order of one over the number of shots (from the
slope of the loss at noisy values); without shots it is the exact gradient.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from torch import Tensor

from qfedfm.optim.circuits.base import CircuitOptimizer, set_gradient

if TYPE_CHECKING:
    from qfedfm.optim.circuits.landscape import Landscape


class ParameterShift(CircuitOptimizer):
    """Two shifted circuits for every rotation by a weight, four for a controlled one.

    Args:
        params: One leaf, (K, w) or (w,).
        lr: Learning rate.
        momentum: Of the gradients.
        shots: Measurements per expectation value; None for exact values.
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float, momentum: float = 0.0, shots: int | None = 1024
    ) -> None:
        super().__init__(params, lr, momentum, shots=shots)

    def observe(self, landscape: Landscape) -> None:
        """Measures the gradient."""
        set_gradient(self.weights, landscape.shifted_gradient(self.option("shots")))

"""RoLoRA: the factors are trained in turn. Chen et al., 2025, arXiv:2502.01755.

Odd rounds (the first, the third, …) train and average B, even rounds A. In every round one factor is
common to all clients, so the mean of the other is exact.
"""

from __future__ import annotations

from typing import Literal

from qfedfm.aggregation.layers import is_down, is_up
from qfedfm.aggregation.rule import Rule


class RoLora(Rule):
    """The mean of B in odd rounds and of A in even ones; the head in every round."""

    kind: Literal["rolora"] = "rolora"

    def trains(self, name: str, round_number: int) -> bool:
        """Returns whether ``name`` is trained; round 0 is the first, an odd one."""
        return not (is_down(name) if round_number % 2 == 0 else is_up(name))

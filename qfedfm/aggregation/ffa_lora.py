"""FFA-LoRA: A is frozen at its start, only B is trained. Sun et al., 2024, arXiv:2403.12313.

    Σ p_k B_k A = B̄ A

Exact, and half the bytes where a layer has as many inputs as outputs.
"""

from __future__ import annotations

from typing import Literal

from qfedfm.aggregation.layers import is_down
from qfedfm.aggregation.rule import Rule


class FFALora(Rule):
    """The mean of B; A never moves."""

    kind: Literal["ffa_lora"] = "ffa_lora"

    def trains(self, name: str, round_number: int) -> bool:
        """Returns whether ``name`` is not a factor A."""
        return not is_down(name)

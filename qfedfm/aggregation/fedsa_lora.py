"""FedSA-LoRA: only A is shared; B and classifier stay with the client. Guo et al., 2024, arXiv:2410.01463."""

from __future__ import annotations

from typing import Literal

from qfedfm.aggregation.layers import is_down
from qfedfm.aggregation.rule import Rule


class FedSALora(Rule):
    """The mean of A; everything else is personal."""

    kind: Literal["fedsa_lora"] = "fedsa_lora"

    def keeps(self, name: str) -> bool:
        """Returns whether ``name`` is not a factor A."""
        return not is_down(name)

"""FedIT: FedAvg on LoRA factors. Zhang et al., 2023, arXiv:2305.05644.

    Ā = Σ p_k A_k,  B̄ = Σ p_k B_k

Inexact: ``B̄ Ā`` is not ``Σ p_k B_k A_k``. It is the baseline of every other rule here.
"""

from __future__ import annotations

from typing import Literal

from qfedfm.aggregation.rule import Rule


class FedIT(Rule):
    """The means of both factors; the same numbers as ``fedavg``, on LoRA adapters only."""

    kind: Literal["fedit"] = "fedit"

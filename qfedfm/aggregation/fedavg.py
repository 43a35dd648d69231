"""FedAvg: the mean of the updates, weighted by examples. McMahan et al., 2017, arXiv:1602.05629."""

from __future__ import annotations

from typing import ClassVar, Literal

from qfedfm.aggregation.rule import Rule


class FedAvg(Rule):
    """``delta = sum_k p_k delta_k`` with ``p_k = n_k / sum n`` (or ``1 / K`` when uniform)."""

    kind: Literal["fedavg"] = "fedavg"

    needs_lora: ClassVar[bool] = False

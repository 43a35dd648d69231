"""FedAvg: the mean of the updates, weighted by examples. McMahan et al., 2017, arXiv:1602.05629."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from qfedfm.aggregation.cohort import Cohort, Combined
from qfedfm.core.config import Config

if TYPE_CHECKING:
    from torch import Tensor


class FedAvg(Config):
    """``delta = sum_k p_k delta_k`` with ``p_k = n_k / sum n`` (or ``1 / K`` when uniform)."""

    kind: Literal["fedavg"] = "fedavg"
    weighting: Literal["examples", "uniform"] = "examples"

    sees: ClassVar[str] = "sum"

    def init(self, model: Tensor) -> dict[str, Tensor]:
        """Returns no state."""
        return {}

    def combine(self, state: dict[str, Tensor], cohort: Cohort) -> tuple[Combined, dict[str, Tensor]]:
        """Returns the weighted mean of the rows of ``cohort.delta_KD``, and the state."""
        import torch

        examples = cohort.examples if self.weighting == "examples" else [1] * len(cohort.clients)
        weights = torch.tensor(examples, dtype=torch.float64)
        weights = (weights / weights.sum()).to(cohort.delta_KD)
        return Combined(weights @ cohort.delta_KD), state

"""FedAvg's server step: move by the combined update. McMahan et al., 2017, arXiv:1602.05629."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from qfedfm.core.config import Config

if TYPE_CHECKING:
    from torch import Tensor


class FedAvgStep(Config):
    """``w += lr * delta``; with ``lr = 1`` the plain average."""

    kind: Literal["fedavg"] = "fedavg"
    lr: Annotated[float, Field(gt=0)] = 1.0

    def init(self, vector: Tensor) -> dict[str, Tensor]:
        """Returns no state."""
        return {}

    def step(
        self, state: dict[str, Tensor], vector: Tensor, delta: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns the moved model and the state."""
        return vector + self.lr * delta, state

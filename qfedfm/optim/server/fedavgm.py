"""FedAvgM: server momentum. Hsu, Qi and Brown, 2019, arXiv:1909.06335."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from qfedfm.core.config import Config

if TYPE_CHECKING:
    from torch import Tensor


class FedAvgM(Config):
    """``v = momentum * v + delta; w += lr * v``."""

    kind: Literal["fedavgm"] = "fedavgm"
    lr: Annotated[float, Field(gt=0)] = 1.0
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9

    def init(self, vector: Tensor) -> dict[str, Tensor]:
        """Returns a zero velocity."""
        return {"velocity": vector.new_zeros(vector.shape)}

    def step(
        self, state: dict[str, Tensor], vector: Tensor, delta: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns the moved model and the new velocity."""
        velocity = self.momentum * state["velocity"] + delta
        return vector + self.lr * velocity, {"velocity": velocity}

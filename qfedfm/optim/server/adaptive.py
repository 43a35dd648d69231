"""FedAdam, FedYogi, FedAdagrad: adaptive server steps. Reddi et al., 2021, arXiv:2003.00295, Algorithm 2.

No bias correction; the second moment starts at tau squared, as in the paper. The three differ only
in the second moment, which is why they share a file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from qfedfm.core.config import Config

if TYPE_CHECKING:
    from torch import Tensor

Beta = Annotated[float, Field(ge=0, lt=1)]


class _Adaptive(Config):
    lr: Annotated[float, Field(gt=0)] = 0.01
    beta1: Beta = 0.9
    tau: Annotated[float, Field(gt=0)] = 1e-3

    def init(self, vector: Tensor) -> dict[str, Tensor]:
        """Returns zero first moments and second moments of tau squared, each (d,)."""
        return {"m": vector.new_zeros(vector.shape), "v": vector.new_full(vector.shape, self.tau**2)}

    def second_moment(self, v: Tensor, squared: Tensor) -> Tensor:
        """Returns the next second moment, shape (d,)."""
        raise NotImplementedError

    def step(
        self, state: dict[str, Tensor], vector: Tensor, delta: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns the moved model and the new moments."""
        m = self.beta1 * state["m"] + (1 - self.beta1) * delta
        v = self.second_moment(state["v"], delta * delta)
        return vector + self.lr * m / (v.sqrt() + self.tau), {"m": m, "v": v}


class FedAdam(_Adaptive):
    """``v = beta2 * v + (1 - beta2) * delta^2``."""

    kind: Literal["fedadam"] = "fedadam"
    beta2: Beta = 0.99

    def second_moment(self, v: Tensor, squared: Tensor) -> Tensor:
        """Returns the exponential mean of squares."""
        return self.beta2 * v + (1 - self.beta2) * squared


class FedYogi(_Adaptive):
    """``v -= (1 - beta2) * delta^2 * sign(v - delta^2)``."""

    kind: Literal["fedyogi"] = "fedyogi"
    beta2: Beta = 0.99

    def second_moment(self, v: Tensor, squared: Tensor) -> Tensor:
        """Returns the sign-controlled second moment."""
        return v - (1 - self.beta2) * squared * (v - squared).sign()


class FedAdagrad(_Adaptive):
    """``v += delta^2``."""

    kind: Literal["fedadagrad"] = "fedadagrad"

    def second_moment(self, v: Tensor, squared: Tensor) -> Tensor:
        """Returns the sum of squares."""
        return v + squared

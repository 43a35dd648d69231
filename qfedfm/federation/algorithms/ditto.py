"""Ditto: each client also trains a model of its own near the global one. Li et al., 2021, arXiv:2012.04221.

    v_k: min L_k(v) + (λ/2) ‖v − w_g‖²

The global model is trained as without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from qfedfm.federation.algorithms.base import PERSONAL, Algorithm, Vectors
from qfedfm.federation.algorithms.fedprox import FedProx

if TYPE_CHECKING:
    from torch import Tensor


class Ditto(Algorithm):
    """A second training per round, from the client's own model.

    Args:
        strength: λ; 0 is purely local training, large values follow the global model.
    """

    kind: Literal["ditto"] = "ditto"
    strength: Annotated[float, Field(ge=0)] = 0.1

    remembers: ClassVar[bool] = True

    def client_init(self, start: Tensor) -> Vectors:
        """Returns the global model as the first personal one."""
        return {PERSONAL: start.clone()}

    def personal(self) -> Algorithm:
        """Returns training with a pull to the global model."""
        return FedProx(mu=self.strength)

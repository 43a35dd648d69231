"""FedProx: a proximal term pulls clients to the global model. Li et al., 2020, arXiv:1812.06127."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from qfedfm.federation.algorithms.base import Algorithm, Vectors

if TYPE_CHECKING:
    from torch import Tensor

    from qfedfm.core.tensors import FlatTensors


class FedProx(Algorithm):
    """The local loss gains ``(mu / 2) * ||w - w_global||^2``."""

    kind: Literal["fedprox"] = "fedprox"
    mu: Annotated[float, Field(ge=0)] = 0.01

    def begin(self, start: Tensor, server: Vectors, client: Vectors) -> Vectors:
        """Keeps the global model."""
        return {"start": start}

    def correct(self, leaves: Mapping[str, Tensor], local: Mapping[str, FlatTensors]) -> None:
        """Adds ``mu * (w - w_global)`` to each gradient."""
        for name, leaf in leaves.items():
            if leaf.grad is not None:
                leaf.grad.add_(leaf.detach() - local["start"][name], alpha=self.mu)

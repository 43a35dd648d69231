"""A multilayer perceptron head with one hidden layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from qfedfm.core.tensors import Layout
from qfedfm.models.heads.head import Head, HeadOptions, affine, affine_entries, affine_initial

if TYPE_CHECKING:
    from torch import Tensor

    from qfedfm.core.random import Streams


class MlpConfig(HeadOptions):
    """Options of the MLP head.

    Args:
        hidden: Hidden units.
    """

    kind: Literal["mlp"] = "mlp"
    hidden: Annotated[int, Field(ge=1)] = 64

    def build(
        self, features: int, classes: int, streams: Streams, *, device: str = "cpu", **execution: Any
    ) -> Head:
        """Returns the head; see :meth:`HeadOptions.build`."""
        return MlpHead(features, self.hidden, classes)


class MlpHead:
    """Affine map, GELU, affine map."""

    circuit = None
    quantum_parameters = 0
    replaced: tuple[str, ...] = ()

    def __init__(self, features: int, hidden: int, classes: int) -> None:
        self._sizes = features, hidden, classes
        self.layout = Layout(
            affine_entries("hidden", hidden, features) + affine_entries("output", classes, hidden)
        )
        self.constants: dict[str, Tensor] = {}

    def initial(self, streams: Streams) -> dict[str, Tensor]:
        """Returns the tensors before training."""
        features, hidden, classes = self._sizes
        return affine_initial("hidden", hidden, features, streams) | affine_initial(
            "output", classes, hidden, streams
        )

    def logits(self, params: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Returns (*K, B, C) logits of features (*K, B, D)."""
        import torch

        hidden = torch.nn.functional.gelu(affine(x, params["hidden.weight"], params["hidden.bias"]))
        return affine(hidden, params["output.weight"], params["output.bias"])

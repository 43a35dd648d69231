"""A linear head: logistic regression on the pooled features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from qfedfm.core.tensors import Layout
from qfedfm.models.heads.head import Head, HeadOptions, affine, affine_entries, affine_initial

if TYPE_CHECKING:
    from torch import Tensor

    from qfedfm.core.random import Streams


class LinearConfig(HeadOptions):
    """Options of the linear head.

    Args:
        start: ``random``, uniform in ±1/√D as torch's Linear, or ``zeros``, from which a linear model loses
            nothing and a method of few directions has nothing to undo.
    """

    kind: Literal["linear"] = "linear"
    start: Literal["random", "zeros"] = "random"

    def build(
        self, features: int, classes: int, streams: Streams, *, device: str = "cpu", **execution: Any
    ) -> Head:
        """Returns the head; see :meth:`HeadOptions.build`."""
        return LinearHead(features, classes, zeros=self.start == "zeros")


class LinearHead:
    """One affine map from features to classes."""

    circuit = None
    quantum_parameters = 0
    replaced: tuple[str, ...] = ()

    def __init__(self, features: int, classes: int, *, zeros: bool = False) -> None:
        self._features, self._classes, self._zeros = features, classes, zeros
        self.layout = Layout(affine_entries("output", classes, features))
        self.constants: dict[str, Tensor] = {}

    def initial(self, streams: Streams) -> dict[str, Tensor]:
        """Returns the tensors before training."""
        found = affine_initial("output", self._classes, self._features, streams)
        return {name: tensor * 0 for name, tensor in found.items()} if self._zeros else found

    def logits(self, params: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Returns (*K, B, C) logits of features (*K, B, D)."""
        return affine(x, params["output.weight"], params["output.bias"])

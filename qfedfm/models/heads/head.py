"""What every head is: pure functions of named tensors, batched over a leading client axis.

Shapes: K = clients (any number of leading axes, or none), B = batch, D = features, C = classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, Self

from qfedfm.core.config import Config
from qfedfm.core.tensors import Layout

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from qfedfm.circuits import Circuit
    from qfedfm.core.random import Streams


class Head(Protocol):
    """Maps pooled features to logits."""

    @property
    def layout(self) -> Layout:
        """The trained tensors, without the ``head/`` prefix they carry in a model."""

    @property
    def constants(self) -> dict[str, Tensor]:
        """Frozen random tensors, drawn at construction, saved with the head."""

    @property
    def circuit(self) -> Circuit | None:
        """The circuit inside, if there is one."""

    @property
    def quantum_parameters(self) -> int:
        """How many trained numbers are weights of the circuit."""

    @property
    def replaced(self) -> tuple[str, ...]:
        """The trained tensors between projection and output: the circuit's, or what replaces it."""

    def initial(self, streams: Streams) -> dict[str, Tensor]:
        """Returns the tensors before training, each drawn from its own stream."""

    def logits(self, params: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Returns (*K, B, C) logits of features (*K, B, D) under tensors (*K, *shape)."""


class HeadOptions(Config):
    """Base of every head's options."""

    def resolved(self, device: str) -> Self:
        """Returns the options with every ``auto`` replaced by what it is on ``device``."""
        return self

    def build(
        self, features: int, classes: int, streams: Streams, *, device: str = "cpu", **execution: Any
    ) -> Head:
        """Returns the head for ``features`` inputs and ``classes`` outputs.

        Args:
            features: D, at least 1.
            classes: C, at least 2.
            streams: Where constants are drawn from.
            device: Where constants lie.
            execution: For heads with a circuit, ``executor``, ``shots`` and ``generator`` in place of
                what the options say; ignored by others.

        Raises:
            RequestError: If the head cannot be built as asked.
        """
        raise NotImplementedError


def affine(x: Tensor, weight: Tensor, bias: Tensor, scale: float = 1.0) -> Tensor:
    """Returns ``scale·x Wᵀ + b``: x (*K, B, I), weight (*K, O, I), bias (*K, O) to (*K, B, O).

    With clients, ``W xᵀ`` is computed and transposed: for few outputs it and its gradient by the weight take
    a fifth of the time of ``x Wᵀ``. The scale costs nothing; a scaled copy of x would.
    """
    import torch

    if weight.dim() == 2:
        return torch.addmm(bias, x.flatten(0, -2), weight.mT, alpha=scale).view(*x.shape[:-1], len(bias))
    return torch.baddbmm(bias.unsqueeze(-1), weight, x.mT, alpha=scale).mT.contiguous()


def uniform(shape: tuple[int, ...], bound: float, generator: torch.Generator) -> Tensor:
    """Returns float32 numbers uniform in (-bound, bound)."""
    import torch

    return (torch.rand(shape, generator=generator) * 2 - 1) * bound


def affine_initial(name: str, outputs: int, inputs: int, streams: Streams) -> dict[str, Tensor]:
    """Returns ``{name}.weight`` (O, I) and ``{name}.bias`` (O,), uniform in ±1/√I as torch's Linear."""
    bound = 1 / math.sqrt(inputs)
    return {
        f"{name}.weight": uniform((outputs, inputs), bound, streams.torch(f"{name}.weight")),
        f"{name}.bias": uniform((outputs,), bound, streams.torch(f"{name}.bias")),
    }


def affine_entries(name: str, outputs: int, inputs: int) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Returns the layout entries of an affine map."""
    return ((f"{name}.weight", (outputs, inputs)), (f"{name}.bias", (outputs,)))

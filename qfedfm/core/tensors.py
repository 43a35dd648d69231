"""Named tensors that lie in one contiguous vector.

Shapes: d = number of trainable scalars, K = clients.

Aggregation works on one ``[K, d]`` matrix; names and shapes are a view of it. A :class:`Layout` says
which slice of the vector is which tensor; its hash is the schema that travels in an update's header.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Layout:
    """The names and shapes of tensors of one type in one vector, in order.

    Args:
        entries: ``(name, shape)`` pairs; names are unique.
        dtype: ``F32`` (float32); or ``I16`` or ``I32``: float64 numbers that are whole multiples of
            ``unit`` and travel to clients as such.
        unit: What they are multiples of.
    """

    entries: tuple[tuple[str, tuple[int, ...]], ...]
    dtype: Literal["F32", "I16", "I32"] = "F32"
    unit: float = 1.0

    @staticmethod
    def of(tensors: Mapping[str, torch.Tensor]) -> Layout:
        """Returns the layout of ``tensors`` in their order."""
        return Layout(tuple((name, tuple(tensor.shape)) for name, tensor in tensors.items()))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The tensor names, in order."""
        return tuple(name for name, _ in self.entries)

    @cached_property
    def slices(self) -> dict[str, tuple[int, int, tuple[int, ...]]]:
        """Per name, ``(start, stop, shape)`` in the vector."""
        result, start = {}, 0
        for name, shape in self.entries:
            stop = start + math.prod(shape)
            result[name] = (start, stop, shape)
            start = stop
        return result

    @cached_property
    def size(self) -> int:
        """The number of scalars d."""
        return sum(math.prod(shape) for _, shape in self.entries)

    @cached_property
    def schema(self) -> str:
        """The hash of names, shapes, dtype and unit, 16 hexadecimal digits."""
        kind = self.dtype if self.dtype == "F32" else f"{self.dtype} of {self.unit.hex()}"
        text = json.dumps([[name, list(shape), kind] for name, shape in self.entries])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def told(self, tensor: torch.Tensor) -> torch.Tensor:
        """Returns ``tensor`` as it travels to clients: as it is, or as whole multiples of the unit."""
        import torch

        if self.dtype == "F32":
            return tensor
        return torch.round(tensor / self.unit).to(torch.int16 if self.dtype == "I16" else torch.int32)

    def flatten(self, tensors: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Returns the vector of ``tensors``, shape (*clients, d), from tensors (*clients, *shape)."""
        import torch

        parts = []
        for name, shape in self.entries:
            tensor = tensors[name]
            parts.append(tensor.reshape(*tensor.shape[: tensor.dim() - len(shape)], -1))
        return torch.cat(parts, dim=-1) if parts else torch.zeros(0)

    def view(self, vector: torch.Tensor) -> FlatTensors:
        """Returns ``vector`` (*clients, d) under names, as views of shape (*clients, *shape)."""
        return FlatTensors(vector, self)

    def subset(self, prefix: str) -> Layout:
        """Returns the layout of the entries whose names start with ``prefix``."""
        return Layout(tuple(entry for entry in self.entries if entry[0].startswith(prefix)))


class FlatTensors(Mapping[str, "torch.Tensor"]):
    """A mapping of names to views of one vector.

    Args:
        vector: Shape (*clients, d).
        layout: What lies where.
    """

    def __init__(self, vector: torch.Tensor, layout: Layout) -> None:
        if vector.shape[-1] != layout.size:
            raise ValueError(f"a vector of {vector.shape[-1]} numbers does not fit a layout of {layout.size}")
        self.vector = vector
        self.layout = layout

    def __getitem__(self, name: str) -> torch.Tensor:
        """Returns the view under ``name``."""
        start, stop, shape = self.layout.slices[name]
        return self.vector[..., start:stop].view((*self.vector.shape[:-1], *shape))

    def __iter__(self) -> Iterator[str]:
        """Iterates over the names in order."""
        return iter(self.layout.names)

    def __len__(self) -> int:
        """Returns the number of tensors."""
        return len(self.layout.entries)


def concatenate(layouts: Iterable[Layout]) -> Layout:
    """Returns one layout after the other."""
    return Layout(tuple(entry for layout in layouts for entry in layout.entries))

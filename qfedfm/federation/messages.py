"""What travels, counted to the byte without being serialised.

Updates and broadcasts are safetensors messages whose headers have fixed widths, so their size depends
on names and shapes alone; it is measured once per schema on a real message.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qfedfm.core.tensors import FlatTensors, Layout
from qfedfm.core.update import Update

if TYPE_CHECKING:
    from torch import Tensor

BROADCAST_FORMAT = "qfedfm-broadcast-1"


@dataclass(frozen=True)
class Broadcast:
    """What the server sends to each client of a round.

    Args:
        round: The round, from 0.
        model: The global model, shape (d,).
        layout: What lies where in it.
        server: The algorithm's server vectors, each (d,).
    """

    round: int
    model: Tensor
    layout: Layout
    server: Mapping[str, Tensor]

    def to_bytes(self) -> bytes:
        """Returns the message: safetensors with a typed header."""
        from safetensors.torch import save

        tensors = {
            f"model/{name}": tensor.contiguous() for name, tensor in self.layout.view(self.model).items()
        }
        tensors |= {f"server/{name}": tensor.contiguous() for name, tensor in self.server.items()}
        header = {"format": BROADCAST_FORMAT, "round": f"{self.round:012d}", "schema": self.layout.schema}
        message: bytes = save(tensors, metadata=header)
        return message


class ByteCounter:
    """Sizes of messages, measured once per schema."""

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}

    def upload(self, update: Update) -> int:
        """Returns ``len(update.to_bytes())``."""
        if not isinstance(update.delta, FlatTensors):
            return len(update.to_bytes())
        shapes = {name: list(tensor.shape) for name, tensor in update.auxiliary.items()}
        key = json.dumps([update.delta.layout.schema, shapes, sorted(update.metrics.sums)])
        if key not in self._sizes:
            self._sizes[key] = len(update.to_bytes())
        return self._sizes[key]

    def download(self, broadcast: Broadcast) -> int:
        """Returns ``len(broadcast.to_bytes())``."""
        key = json.dumps([broadcast.layout.schema, sorted(broadcast.server)])
        if key not in self._sizes:
            self._sizes[key] = len(broadcast.to_bytes())
        return self._sizes[key]

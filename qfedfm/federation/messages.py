"""What travels, counted to the byte without being serialised.

Updates and broadcasts are safetensors messages whose headers have fixed widths, so their size depends
on names and shapes alone; it is measured once per schema on a real message.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qfedfm.core.changes import Changes
from qfedfm.core.tensors import FlatTensors, Layout
from qfedfm.core.update import Update
from qfedfm.federation.travel import part_of

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
        frozen: All changes of frozen weights so far (:mod:`qfedfm.core.changes`).
        latest: Those of the last round, for clients that know the ones before.
        ranks: Per client of the round its LoRA rank; None where all train the adapter's.
        reached: Clients that received the model of the round before, and know all changes but the last.
    """

    round: int
    model: Tensor
    layout: Layout
    server: Mapping[str, Tensor]
    frozen: Changes = field(default_factory=dict)
    latest: Changes = field(default_factory=dict)
    ranks: Mapping[int, int] | None = None
    reached: frozenset[int] = frozenset()

    def to_bytes(self, layout: Layout | None = None, *, in_step: bool = False) -> bytes:
        """Returns the message: safetensors with a typed header.

        Args:
            layout: What of the model travels; by default all of it.
            in_step: Whether the client knows all changes of frozen weights but the last.
        """
        from safetensors.torch import save

        layout = layout or self.layout
        part = layout.view(part_of(self.model, self.layout, layout))
        tensors = {f"model/{name}": layout.told(tensor).contiguous() for name, tensor in part.items()}
        tensors |= {f"server/{name}": tensor.contiguous() for name, tensor in self.server.items()}
        changes = self.latest if in_step else self.frozen
        tensors |= {f"frozen/{name}": tensor.contiguous() for name, tensor in changes.items()}
        header = {"format": BROADCAST_FORMAT, "round": f"{self.round:012d}", "schema": layout.schema}
        message: bytes = save(tensors, metadata=header)
        return message


class ByteCounter:
    """Sizes of messages, measured once per schema."""

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}

    def upload(self, update: Update) -> int:
        """Returns ``len(update.to_bytes())``."""
        if update.length is not None:
            return update.length
        if not isinstance(update.delta, FlatTensors):
            return len(update.to_bytes())
        shapes = {name: list(tensor.shape) for name, tensor in update.auxiliary.items()}
        key = json.dumps([update.delta.layout.schema, shapes, sorted(update.metrics.sums)])
        if key not in self._sizes:
            self._sizes[key] = len(update.to_bytes())
        return self._sizes[key]

    def download(self, broadcast: Broadcast, layout: Layout | None = None, *, in_step: bool = False) -> int:
        """Returns ``len(broadcast.to_bytes(layout, in_step=in_step))``."""
        changes = broadcast.latest if in_step else broadcast.frozen
        shapes = {name: list(tensor.shape) for name, tensor in changes.items()}
        key = json.dumps([(layout or broadcast.layout).schema, sorted(broadcast.server), shapes])
        if key not in self._sizes:
            self._sizes[key] = len(broadcast.to_bytes(layout, in_step=in_step))
        return self._sizes[key]

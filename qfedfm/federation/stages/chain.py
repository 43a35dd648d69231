"""The stages in a row: packed on the client in their order, unpacked on the server in reverse.

Error feedback spans the whole row of compressing stages: what the server will not see of a difference is
what the client keeps, whatever lost it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from qfedfm.core.random import Streams
from qfedfm.core.tensors import Layout
from qfedfm.core.update import Update
from qfedfm.federation.stages.base import Stage

if TYPE_CHECKING:
    from torch import Tensor


def feeds_back(stages: Sequence[Stage]) -> bool:
    """Returns whether a stage asks for error feedback."""
    return any(getattr(stage, "error_feedback", False) for stage in stages)


def pack(
    stages: Sequence[Stage], update: Update, streams: Streams, memory: Mapping[str, Tensor]
) -> tuple[Update, dict[str, Tensor]]:
    """Returns what the client sends, and what it keeps by tensor name.

    Args:
        stages: In the client's order.
        update: The client's update.
        streams: The client's streams of this round.
        memory: What it kept before.
    """
    first = next((i for i, stage in enumerate(stages) if stage.compresses), len(stages))
    for stage in stages[:first]:
        update = stage.on_client(update, streams(f"stage/{stage.kind}"))
    if first == len(stages):
        return update, dict(memory)
    layout = Layout.of(update.delta)
    kept = dict(memory)
    if feeds_back(stages):
        wanted = layout.flatten(update.delta) + layout.flatten(
            {name: memory.get(name, tensor.new_zeros(tensor.shape)) for name, tensor in update.delta.items()}
        )
        update = replace(update, delta=layout.view(wanted))
    sent = update
    for stage in stages[first:]:
        sent = stage.on_client(sent, streams(f"stage/{stage.kind}"))
    if feeds_back(stages):
        arrived = unpack(stages, sent, layout)
        lost = layout.view(wanted - layout.flatten(arrived.delta))
        kept |= {name: tensor.clone() for name, tensor in lost.items()}
    return sent, kept


def unpack(stages: Sequence[Stage], update: Update, layout: Layout) -> Update:
    """Returns the update as the server goes on with it.

    Raises:
        UpdateRefusedError: If it is not what these stages send.
    """
    for stage in reversed(stages):
        update = stage.unpack(update, layout)
    return update

"""The state of the optimizers that together move a model's leaves.

Shapes: K = clients trained together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Optimizers = Sequence["torch.optim.Optimizer"]


def shrink(optimizers: Optimizers, leaves: Mapping[str, Tensor], active: int) -> dict[str, Tensor]:
    """Keeps the first ``active`` clients in every leaf and in the optimizers' states."""
    kept = {
        name: leaf.detach()[:active].clone().requires_grad_(leaf.requires_grad)
        for name, leaf in leaves.items()
    }
    for optimizer in optimizers:
        own = {id(leaf) for leaf in optimizer.param_groups[0]["params"]}
        names = [name for name, leaf in leaves.items() if id(leaf) in own]
        for name in names:
            optimizer.state[kept[name]] = {
                key: value[:active].clone() if value is not None and value.dim() > 0 else value
                for key, value in optimizer.state.pop(leaves[name], {}).items()
            }
        optimizer.param_groups[0]["params"] = [kept[name] for name in names]
    return kept


def kept_state(optimizers: Optimizers, leaves: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the tensors of all optimizers, each under ``<leaf>|<key>``."""
    return {
        f"{name}|{key}": value.detach().clone()
        for optimizer in optimizers
        for name, leaf in leaves.items()
        for key, value in optimizer.state.get(leaf, {}).items()
        if value is not None
    }


def restore_state(optimizers: Optimizers, leaves: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    """Gives the optimizers the tensors that :func:`kept_state` returned."""
    owners = {id(leaf): optimizer for optimizer in optimizers for leaf in optimizer.param_groups[0]["params"]}
    for entry, value in state.items():
        name, _, key = entry.rpartition("|")
        leaf = leaves[name]
        # A leaf that is not trained in this round has no owner, and its state is only kept.
        owners.get(id(leaf), optimizers[-1]).state[leaf][key] = value.clone()

"""Messages of a seeded state: which directions of a pool moved, and how far along each everybody is.

Down go the coefficients as whole multiples of a unit: 4 bytes a direction in pools of up to 4,096, 2 bytes
in larger ones. Up goes an :class:`Update` whose difference holds two tensors: the numbers of the directions
that moved, ascending (int32), and the sums of the steps along them (float64): 12 bytes for each that moved.
Neither depends on the size of the model.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from qfedfm.core.errors import RequestError, UpdateRefusedError
from qfedfm.core.tensors import Layout
from qfedfm.core.update import Update

if TYPE_CHECKING:
    from torch import Tensor

SEEDS = "seeds"
"""The name of the coefficients in the layout of a seeded state."""
NUMBERS, STEPS = "seeds.numbers", "seeds.steps"
WIDE_POOL, LARGEST_POOL = 4096, 8192
"""Directions whose coefficients fit into 20 kB with 4 and with 2 bytes each."""
MOST_MOVED = 1536
"""Directions whose numbers and steps fit into 20 kB."""


def seed_layout(count: int, unit: float) -> Layout:
    """Returns the layout of a state of ``count`` coefficients, multiples of ``unit``."""
    return Layout(((SEEDS, (count,)),), dtype="I32" if count <= WIDE_POOL else "I16", unit=unit)


def settle(coefficients: Tensor, layout: Layout) -> Tensor:
    """Returns the nearest coefficients that can be told, (S,) float64.

    Raises:
        RequestError: If one is outside of what the message can hold.
    """
    import torch

    bits = {"I16": 15, "I32": 31}[layout.dtype]
    counts = torch.round(coefficients / layout.unit)
    if not bool((counts.abs() < 1 << bits).all()):
        raise RequestError(
            f"a coefficient of a direction is {float(coefficients.abs().max()):.3g}, outside of "
            f"±{layout.unit * (1 << bits):.3g}, which {bits + 1}-bit multiples of client.algorithm.unit can "
            "tell; lower the learning rates or raise the unit"
        )
    return counts * layout.unit


def to_seeds(update: Update) -> Update:
    """Returns the update with its moved coefficients only."""
    import torch

    change = update.delta[SEEDS]
    numbers = torch.nonzero(change).flatten()
    return replace(update, delta={NUMBERS: numbers.to(torch.int32), STEPS: change[numbers]})


def from_seeds(update: Update, layout: Layout) -> Update:
    """Returns the update with all coefficients.

    Raises:
        UpdateRefusedError: If it is not seeds and scalars of this pool.
    """
    import torch

    if set(update.delta) != {NUMBERS, STEPS}:
        raise UpdateRefusedError(f"a seeded update holds {NUMBERS} and {STEPS}")
    numbers, steps = update.delta[NUMBERS], update.delta[STEPS]
    if numbers.dtype != torch.int32 or steps.dtype != torch.float64 or numbers.shape != steps.shape:
        raise UpdateRefusedError(f"{NUMBERS} must be int32 and {STEPS} as many float64")
    numbers = numbers.long()
    inside = numbers.dim() == 1 and bool(((numbers >= 0) & (numbers < layout.size)).all())
    if not inside or bool((numbers[1:] <= numbers[:-1]).any()):
        raise UpdateRefusedError(f"{NUMBERS} must ascend from 0 or more to below {layout.size}")
    change = steps.new_zeros(layout.size)
    change[numbers] = steps
    return replace(update, delta=layout.view(change))

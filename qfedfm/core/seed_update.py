"""An update that is seeds and scalars: which directions of a pool, and how far along each.

On the wire it is an :class:`Update` whose difference holds two tensors: the numbers of the directions that
moved, ascending (int32), and the sums of the steps along them (float64): 12 bytes a direction whatever the
size of the model.
"""

from __future__ import annotations

from dataclasses import replace

from qfedfm.core.errors import UpdateRefusedError
from qfedfm.core.tensors import Layout
from qfedfm.core.update import Update

SEEDS = "seeds"
"""The name of the coefficients in the layout of a seeded state."""
NUMBERS, STEPS = "seeds.numbers", "seeds.steps"


def seed_layout(count: int) -> Layout:
    """Returns the layout of a state of ``count`` coefficients."""
    return Layout(((SEEDS, (count,)),), dtype="F64")


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

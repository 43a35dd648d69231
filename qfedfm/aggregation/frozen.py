"""Adding up changes of frozen weights from round to round; see :mod:`qfedfm.core.changes` for their form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from qfedfm.aggregation.lowrank import compact
from qfedfm.core.changes import DENSE, DOWN, UP, Changes, factors_of, too_large

if TYPE_CHECKING:
    from torch import Tensor

TOLERANCE = 1e-7
"""Singular values below this part of the largest are rounding of float32 and do not travel."""


def accumulate(before: Changes, change: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """Returns ``before`` with the products (B, A) of ``change`` added, float32.

    Args:
        before: Changes so far.
        change: Per module (B, A), shapes (out, R) and (R, in).
    """
    import torch

    after = dict(before)
    for module, (B, A) in change.items():
        B, A = B.double(), A.double()
        if module + DENSE in after:
            after[module + DENSE] = (after[module + DENSE].double() + B @ A).float()
            continue
        old = factors_of(after, module)
        if old is not None:
            B, A = torch.cat([old[0].double(), B], dim=1), torch.cat([old[1].double(), A])
        up, down = compact(B, A, TOLERANCE)
        after.pop(module + UP, None)
        after.pop(module + DOWN, None)
        if too_large(up.shape[1], up.shape[0], down.shape[1]):
            after[module + DENSE] = (B @ A).float()
        elif up.shape[1]:
            after[module + UP], after[module + DOWN] = up.float(), down.float()
    return after

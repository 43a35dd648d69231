"""Changes to frozen weights, as named tensors that travel and are kept in checkpoints.

A change of module ``m`` is either two factors, ``m|up`` of shape (out, R) and ``m|down`` of shape (R, in),
or, where those would hold more than half as many numbers as the weight itself, ``m|dense`` of shape
(out, in). The changed weight is ``W0 + up @ down``, or ``W0 + dense``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

UP, DOWN, DENSE = "|up", "|down", "|dense"

Changes = Mapping[str, "Tensor"]


def changed_modules(changes: Changes) -> tuple[str, ...]:
    """Returns the names of the changed modules, in order."""
    return tuple(dict.fromkeys(name.rpartition("|")[0] for name in changes))


def factors_of(changes: Changes, module: str) -> tuple[Tensor, Tensor] | None:
    """Returns (up, down) of a module's change, or None where it is dense."""
    up = changes.get(module + UP)
    return None if up is None else (up, changes[module + DOWN])


def dense_change(changes: Changes, module: str) -> Tensor:
    """Returns a module's change as one float64 matrix (out, in)."""
    factors = factors_of(changes, module)
    if factors is None:
        return changes[module + DENSE].double()
    return factors[0].double() @ factors[1].double()


def too_large(rank: int, outputs: int, inputs: int) -> bool:
    """Returns whether factors of ``rank`` hold more than half as many numbers as the matrix."""
    return 2 * rank * (outputs + inputs) > outputs * inputs

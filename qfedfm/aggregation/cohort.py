"""The admitted updates of one round as matrices, and what a rule makes of them.

Shapes: K = admitted clients, d = number of trainable scalars.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from qfedfm.core.tensors import Layout


@dataclass(frozen=True)
class Cohort:
    """Admitted updates, ordered by client so that the order of arrival cannot matter.

    Args:
        clients: The clients' numbers, ascending.
        delta_KD: Their differences from the global model, shape (K, d), float32.
        examples: Their numbers of training examples n_k.
        layout: What lies where in a row.
        auxiliary: Declared further tensors, each with a leading axis K.
    """

    clients: tuple[int, ...]
    delta_KD: Tensor
    examples: tuple[int, ...]
    layout: Layout
    auxiliary: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Combined:
    """What a rule makes of a cohort.

    Args:
        delta: The combined difference, shape (d,).
        frozen: Changes to frozen weights as low-rank factors (B, A) by module, for the rules that
            fold a residual into the backbone.
    """

    delta: Tensor
    frozen: Mapping[str, tuple[Tensor, Tensor]] = field(default_factory=dict)

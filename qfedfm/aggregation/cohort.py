"""The admitted updates of one round as matrices, and what a rule makes of them.

Shapes: K = admitted clients, d = number of trainable scalars.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qfedfm.core.random import Streams

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
        start: The global model that they started from, (d,); None counts as zero.
        ranks: Per client, the LoRA rank r_k that it trains; None where all train the adapter's rank. A
            client of rank r_k started from the first r_k rows of every A and columns of every B.
        scale: The adapter's scale s in ``y = W x + s B A x``.
        scales: Per client, its own scale s_k; None where all have s.
        round: The round, from 0.
        streams: The round's random streams, for rules that draw a new start.
        score: Scores a global model (d,) on the server's validation data, higher is better; None where
            there is none.
    """

    clients: tuple[int, ...]
    delta_KD: Tensor
    examples: tuple[int, ...]
    layout: Layout
    auxiliary: Mapping[str, Tensor] = field(default_factory=dict)
    start: Tensor | None = None
    ranks: tuple[int, ...] | None = None
    scale: float = 1.0
    scales: tuple[float, ...] | None = None
    round: int = 0
    streams: Streams = field(default_factory=lambda: Streams(0))
    score: Callable[[Tensor], float] | None = None


@dataclass(frozen=True)
class Combined:
    """What a rule makes of a cohort.

    Args:
        delta: The combined difference, shape (d,).
        frozen: Changes to frozen weights as low-rank factors (B, A) by module, for the rules that
            fold a residual into the backbone; shapes (out, R) and (R, in).
    """

    delta: Tensor
    frozen: Mapping[str, tuple[Tensor, Tensor]] = field(default_factory=dict)

"""FQNGD: federated quantum natural gradient descent. Qi and Tejedor, 2022, arXiv:2209.00564.

θ ← θ − η Σ p_k g_k⁺ ∇L_k,   both at the global θ

Each client sends one natural gradient a round, as the difference ``−η g_k⁺ ∇L_k`` that it makes to the
circuit's weights; the server adds their mean. Everything else of the head moves by ``client.optimizer.rest``,
one step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from qfedfm.core.errors import RequestError
from qfedfm.federation.algorithms.base import Algorithm

if TYPE_CHECKING:
    from qfedfm.optim.client import OptimizerConfig


class FQNGD(Algorithm):
    """One step of ``client.optimizer {kind: qng}`` a round (``client.steps: 1``), without momentum."""

    kind: Literal["fqngd"] = "fqngd"

    one_step: ClassVar[bool] = True

    def check(self, optimizer: OptimizerConfig, *, constant_rate: bool, clipped: bool) -> None:
        """Refuses optimizers whose step is not a natural gradient."""
        if optimizer.kind != "qng" or optimizer.momentum or clipped:
            raise RequestError(
                "client.algorithm fqngd sends natural gradients: it needs client.optimizer {kind: qng} "
                "without momentum, and no client.clip_norm"
            )

"""SCAFFOLD: control variates against client drift. Karimireddy et al., 2020, arXiv:1910.06378.

Option II of the paper: ``c_k' = c_k - c + (w_global - w_k) / (steps * rate)``. The server's c moves by
``(|S| / N) * mean_S(c_k' - c_k)``, so it stays the mean of all clients' variates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from qfedfm.core.errors import RequestError
from qfedfm.federation.algorithms.base import Algorithm, Vectors

if TYPE_CHECKING:
    from torch import Tensor

    from qfedfm.core.tensors import FlatTensors
    from qfedfm.optim.client import OptimizerConfig


class Scaffold(Algorithm):
    """Each local step uses ``g - c_k + c``; needs plain SGD, for which the formula for c_k' holds."""

    kind: Literal["scaffold"] = "scaffold"

    auxiliary: ClassVar[tuple[str, ...]] = ("control",)
    remembers: ClassVar[bool] = True

    def check(self, optimizer: OptimizerConfig, *, constant_rate: bool, clipped: bool) -> None:
        """Refuses optimizers for which ``(w_global - w_k) / (steps * rate)`` is not a mean gradient."""
        plain = optimizer.kind == "sgd" and optimizer.momentum == 0 and optimizer.weight_decay == 0
        if not plain or clipped:
            raise RequestError(
                "client.algorithm scaffold needs client.optimizer {kind: sgd} without momentum, weight_decay "
                "and client.clip_norm: its control variates are mean gradients only for plain SGD steps"
            )

    def server_init(self, start: Tensor) -> Vectors:
        """Returns c = 0."""
        return {"control": start.new_zeros(start.shape)}

    def client_init(self, start: Tensor) -> Vectors:
        """Returns c_k = 0."""
        return {"control": start.new_zeros(start.shape)}

    def begin(self, start: Tensor, server: Vectors, client: Vectors) -> Vectors:
        """Returns ``c - c_k``, shape (K, d)."""
        return {"shift": server["control"] - client["control"]}

    def correct(self, leaves: Mapping[str, Tensor], local: Mapping[str, FlatTensors]) -> None:
        """Adds ``c - c_k`` to each gradient."""
        for name, leaf in leaves.items():
            if leaf.grad is not None:
                leaf.grad.add_(local["shift"][name])

    def finish(
        self,
        delta_KD: Tensor,
        steps_K: Tensor,
        rate: float,
        server: Vectors,
        client: Vectors,
    ) -> tuple[Vectors, Vectors]:
        """Returns the change of each c_k to send and the new c_k to keep, each (K, d)."""
        change = -server["control"] - delta_KD / (steps_K.unsqueeze(1) * rate)
        return {"control": change}, {"control": client["control"] + change}

    def server_step(self, server: Vectors, auxiliary: Mapping[str, Tensor], clients: int) -> Vectors:
        """Moves c by the sum of the changes over N."""
        return {"control": server["control"] + auxiliary["control"].sum(0) / clients}

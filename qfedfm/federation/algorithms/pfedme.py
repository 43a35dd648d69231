"""pFedMe: personal models by Moreau envelopes. Dinh, Tran and Nguyen, 2020, arXiv:2006.08848.

On each batch a client takes ``inner`` steps of its optimizer on ``f(θ; batch) + (λ/2) ‖θ − w‖²`` and then

    w −= η λ (w − θ)

θ is its personal model, w what it sends. The server's ``w = (1 − β) w + β mean_S w_k`` is
``federation.server_optimizer: {kind: fedavg, lr: β}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from qfedfm.federation.algorithms.base import PERSONAL, Algorithm, Vectors

if TYPE_CHECKING:
    from torch import Tensor

    from qfedfm.core.tensors import FlatTensors


class PFedMe(Algorithm):
    """Personal and local models; what travels is the local one.

    Args:
        strength: λ.
        rate: η, of the local model's steps; η λ at most 1.
        inner: Steps of the personal model on each batch.
    """

    kind: Literal["pfedme"] = "pfedme"
    strength: Annotated[float, Field(gt=0)] = 15.0
    rate: Annotated[float, Field(gt=0)] = 0.01
    inner: Annotated[int, Field(ge=1)] = 5

    remembers: ClassVar[bool] = True

    @property
    def repeats(self) -> int:
        """Every batch serves ``inner`` steps."""
        return self.inner

    def client_init(self, start: Tensor) -> Vectors:
        """Returns the global model as the first personal one."""
        return {PERSONAL: start.clone()}

    def begin(self, start: Tensor, server: Vectors, client: Vectors) -> Vectors:
        """Returns each client's local model w, (K, d), which starts at the global one."""
        return {"local": start.expand_as(client[PERSONAL]).clone()}

    def correct(self, leaves: Mapping[str, Tensor], local: Mapping[str, FlatTensors]) -> None:
        """Adds ``λ (θ − w)`` to each gradient."""
        for name, leaf in leaves.items():
            if leaf.grad is not None:
                leaf.grad.add_(leaf.detach() - local["local"][name], alpha=self.strength)

    def after_step(
        self, leaves: Mapping[str, Tensor], local: Mapping[str, FlatTensors], step: int, rate: float
    ) -> None:
        """Moves w after the last step on a batch."""
        if (step + 1) % self.inner == 0:
            for name, leaf in leaves.items():
                w = local["local"][name]
                w.sub_(w - leaf.detach(), alpha=self.rate * rate * self.strength)

    def outcome(self, start: Tensor, delta_KD: Tensor, local: Vectors) -> tuple[Tensor, Vectors]:
        """Returns the local models' differences to send and the personal models to keep."""
        return local["local"] - start, {PERSONAL: start + delta_KD}

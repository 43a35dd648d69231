"""FedNova: normalised averaging of unlike numbers of steps. Wang et al., 2020, arXiv:2007.07481.

    w −= τ_eff Σ p_k (w − w_k) / τ_k,   τ_eff = Σ p_k τ_k

τ_k is ``‖a_k‖₁``, how much the client's optimizer moves along a gradient that is 1 in every step: the
number of steps for plain SGD, more with momentum. Equal to FedAvg where all τ_k are equal.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from qfedfm.core.errors import RequestError
from qfedfm.federation.algorithms.base import Algorithm, Vectors

if TYPE_CHECKING:
    from torch import Tensor

    from qfedfm.aggregation.cohort import Cohort
    from qfedfm.core.tensors import Layout
    from qfedfm.optim.client import OptimizerConfig


class FedNova(Algorithm):
    """Updates are rescaled by ``τ_eff / τ_k``; needs SGD."""

    kind: Literal["fednova"] = "fednova"

    auxiliary: ClassVar[tuple[str, ...]] = ("steps",)
    rescales: ClassVar[bool] = True

    def check(self, optimizer: OptimizerConfig, *, constant_rate: bool, clipped: bool) -> None:
        """Refuses optimizers whose steps are no fixed combination of gradients."""
        if optimizer.kind != "sgd" or optimizer.weight_decay or clipped:
            raise RequestError(
                "client.algorithm fednova needs client.optimizer {kind: sgd} without weight_decay and "
                "client.clip_norm: its normalisation is that of a fixed combination of gradients"
            )

    def auxiliary_shapes(self, layout: Layout) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Returns one number, τ_k."""
        return (("steps", (1,)),)

    def lengths(self, steps_K: Tensor, optimizer: OptimizerConfig) -> Tensor:
        """Returns τ_K = ‖a_K‖₁: the way along a gradient of 1 at a rate of 1, momentum included."""
        assert optimizer.kind == "sgd"
        ways = []
        for steps in steps_K.tolist():
            velocity = way = 0.0
            for _ in range(int(steps)):
                velocity = optimizer.momentum * velocity + 1.0
                way += 1.0 + optimizer.momentum * velocity if optimizer.nesterov else velocity
            ways.append(way)
        return steps_K.new_tensor(ways)

    def finish(
        self,
        delta_KD: Tensor,
        steps_K: Tensor,
        rate: float,
        server: Vectors,
        client: Vectors,
    ) -> tuple[Vectors, Vectors]:
        """Returns τ_K to send, shape (K, 1)."""
        return {"steps": steps_K.unsqueeze(1)}, client

    def on_cohort(self, cohort: Cohort, p_K: Tensor) -> Cohort:
        """Returns the cohort with rows ``τ_eff / τ_k · delta_k``."""
        ways = cohort.auxiliary["steps"][:, 0].double()
        scale = (p_K.to(ways) @ ways) / ways
        return replace(cohort, delta_KD=cohort.delta_KD * scale.to(cohort.delta_KD).unsqueeze(1))

"""FedKSeed: training by losses alone; updates are seeds and scalars. Qin et al., 2023, arXiv:2312.06353.

A local step draws one or more directions z of the pool and measures losses (Malladi et al., 2023,
arXiv:2305.17333):

    g = (L(w + εz) − L(w − εz)) / (2ε)  or, from one side,  (L(w + εz) − L(w)) / ε;   a_j −= η g,   w −= η g z

From one side D directions take D + 1 forward passes, because they share L(w), from both sides 2 D.

A client sends the sum of its steps along each direction; the server adds the weighted mean to the
coefficients a, rounds them to multiples of a unit and sends those, whatever the size of the model. Whoever
knows w_0, the pool and a has the state to the bit, a client that joins late too (:mod:`qfedfm.core.seeds`).
Only forward passes: any executor, with shots as well.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from qfedfm.core.errors import RequestError
from qfedfm.core.seed_update import LARGEST_POOL, from_seeds, seed_layout, settle, to_seeds
from qfedfm.core.tensors import Layout
from qfedfm.federation.algorithms.base import Algorithm

if TYPE_CHECKING:
    from torch import Tensor

    from qfedfm.core.update import Update
    from qfedfm.optim.client import OptimizerConfig


class FedKSeed(Algorithm):
    """Zeroth-order steps at the rate of ``client.optimizer {kind: sgd}``.

    Args:
        pool: Directions S, the same for all clients and rounds; at most 8,192, so that no message is larger
            than 20 kB.
        directions: How many different directions are measured at the same weights in one step, and then moved
            along.
        sides: ``both`` or ``one``; see above.
        perturbation: ε.
        unit: What the coefficients a_j are rounded to; null for 2⁻²⁶, and for 2⁻¹⁸ in pools of more than
            4,096, whose coefficients travel in 16 bits and stay below 2¹⁵ units.
        shots: Measurements per expectation value of a circuit in the head while training; null for exact
            values. Such clients are trained one by one.
    """

    kind: Literal["fedkseed"] = "fedkseed"
    pool: Annotated[int, Field(ge=1, le=LARGEST_POOL)] = 1024
    directions: Annotated[int, Field(ge=1)] = 1
    sides: Literal["both", "one"] = "both"
    perturbation: Annotated[float, Field(gt=0)] = 1e-2
    unit: Annotated[float, Field(gt=0)] | None = None
    shots: Annotated[int, Field(ge=1)] | None = None

    seeded: ClassVar[bool] = True

    @cached_property
    def layout(self) -> Layout:
        """What the coefficients are."""
        found = seed_layout(self.pool, 1.0)
        default = 2.0**-26 if found.dtype == "I32" else 2.0**-18
        return seed_layout(self.pool, self.unit or default)

    @property
    def passes(self) -> int:
        """Forward passes of a step."""
        return self.directions + 1 if self.sides == "one" else 2 * self.directions

    @property
    def alone(self) -> bool:
        """With shots each client draws its own measurements."""
        return self.shots is not None

    def check(self, optimizer: OptimizerConfig, *, constant_rate: bool, clipped: bool) -> None:
        """Refuses what a step along one direction has no place for."""
        plain = optimizer.kind == "sgd" and optimizer.momentum == 0 and optimizer.weight_decay == 0
        if not plain or clipped:
            raise RequestError(
                "client.algorithm fedkseed steps along one direction at a time: it needs client.optimizer "
                "{kind: sgd} without momentum and weight_decay, and no client.clip_norm"
            )
        if self.directions > self.pool:
            raise RequestError(
                f"client.algorithm.directions is {self.directions}, above the pool's {self.pool}; lower it"
            )

    def settle(self, model: Tensor) -> Tensor:
        """Returns coefficients that are multiples of the unit."""
        return settle(model, self.layout)

    def pack(self, update: Update) -> Update:
        """Returns the directions that moved and how far."""
        return to_seeds(update)

    def unpack(self, update: Update, layout: Layout) -> Update:
        """Returns all coefficients' changes."""
        return from_seeds(update, layout)

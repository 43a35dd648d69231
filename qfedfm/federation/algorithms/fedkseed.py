"""FedKSeed: training by losses alone; updates are seeds and scalars. Qin et al., 2023, arXiv:2312.06353.

A local step draws a direction z of the pool and measures two losses (Malladi et al., 2023, arXiv:2305.17333):

    g = (L(w + εz) − L(w − εz)) / (2ε),   a_j −= η g,   w −= η g z

A client sends the sum of its steps along each direction; the server adds the weighted mean to the
coefficients a and sends those, whatever the size of the model. Whoever knows w_0, the pool and a has the
state to the bit, a client that joins late too (:mod:`qfedfm.core.seeds`). Only forward passes: any executor,
with shots as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from qfedfm.core.errors import RequestError
from qfedfm.core.seed_update import from_seeds, to_seeds
from qfedfm.federation.algorithms.base import Algorithm

if TYPE_CHECKING:
    from qfedfm.core.tensors import Layout
    from qfedfm.core.update import Update
    from qfedfm.optim.client import OptimizerConfig

LARGEST_POOL = 1536
"""So that no message is larger than 20 kB: 12 bytes a direction up, 8 down, and a header."""


class FedKSeed(Algorithm):
    """Zeroth-order steps at the rate of ``client.optimizer {kind: sgd}``.

    Args:
        pool: Directions S, the same for all clients and rounds.
        perturbation: ε.
        shots: Measurements per expectation value of a circuit in the head while training; null for exact
            values. Such clients are trained one by one.
    """

    kind: Literal["fedkseed"] = "fedkseed"
    pool: Annotated[int, Field(ge=1, le=LARGEST_POOL)] = 1024
    perturbation: Annotated[float, Field(gt=0)] = 1e-2
    shots: Annotated[int, Field(ge=1)] | None = None

    seeded: ClassVar[bool] = True

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

    def pack(self, update: Update) -> Update:
        """Returns the directions that moved and how far."""
        return to_seeds(update)

    def unpack(self, update: Update, layout: Layout) -> Update:
        """Returns all coefficients' changes."""
        return from_seeds(update, layout)

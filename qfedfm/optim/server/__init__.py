"""Server optimizers: how the combined update moves the global model (Reddi et al., 2021, arXiv:2003.00295).

Each is a pair of pure functions over named vectors: ``init(vector) -> state`` and
``step(state, vector, delta) -> (vector, state)``. Shapes: d = number of trainable scalars; every
vector is ``(d,)``. The pseudo-gradient ``delta`` is the combined difference, so it is added.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from qfedfm.optim.server.adaptive import FedAdagrad, FedAdam, FedYogi
from qfedfm.optim.server.fedavg import FedAvgStep
from qfedfm.optim.server.fedavgm import FedAvgM

ServerOptimizer = Annotated[
    FedAvgStep | FedAvgM | FedAdam | FedYogi | FedAdagrad, Field(discriminator="kind")
]

__all__ = ["FedAdagrad", "FedAdam", "FedAvgM", "FedAvgStep", "FedYogi", "ServerOptimizer"]

"""The hooks of a client algorithm, all of them doing nothing.

Shapes: K = clients trained together, d = number of trainable scalars.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from qfedfm.core.config import Config

if TYPE_CHECKING:
    from torch import Tensor

    from qfedfm.core.tensors import FlatTensors
    from qfedfm.optim.client import OptimizerConfig

Vectors = dict[str, "Tensor"]


class Algorithm(Config):
    """Plain local training; methods override what they change."""

    kind: str

    auxiliary: ClassVar[tuple[str, ...]] = ()

    def check(self, optimizer: OptimizerConfig, *, constant_rate: bool, clipped: bool) -> None:
        """Raises RequestError if the method is not defined for these client options."""

    def server_init(self, start: Tensor) -> Vectors:
        """Returns the server's vectors at the beginning, each (d,)."""
        return {}

    def client_init(self, start: Tensor) -> Vectors:
        """Returns one client's vectors at the beginning, each (d,)."""
        return {}

    def begin(self, start: Tensor, server: Vectors, client: Vectors) -> Vectors:
        """Returns the tensors that ``correct`` needs, each (d,) or (K, d).

        Args:
            start: The global model, (d,).
            server: The server's vectors, each (d,).
            client: The clients' vectors, each (K, d).
        """
        return {}

    def correct(self, leaves: Mapping[str, Tensor], local: Mapping[str, FlatTensors]) -> None:
        """Edits the gradients of ``leaves`` in place."""

    def finish(
        self,
        delta_KD: Tensor,
        steps_K: Tensor,
        rate: float,
        server: Vectors,
        client: Vectors,
    ) -> tuple[Vectors, Vectors]:
        """Returns (auxiliary, client vectors), each (K, d).

        Args:
            delta_KD: Trained minus global model.
            steps_K: Local steps that each client took.
            rate: The learning rate of this round.
            server: The server's vectors, each (d,).
            client: The clients' vectors, each (K, d).
        """
        return {}, client

    def server_step(self, server: Vectors, auxiliary: Mapping[str, Tensor], clients: int) -> Vectors:
        """Returns the server's next vectors.

        Args:
            server: Its vectors, each (d,).
            auxiliary: The admitted clients' auxiliary, each (K, d).
            clients: How many clients the federation has, N.
        """
        return server

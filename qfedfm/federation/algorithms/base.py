"""The hooks of a client algorithm, all of them doing nothing.

Shapes: K = clients trained together, d = number of trainable scalars.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from qfedfm.aggregation.cohort import Cohort, Combined
from qfedfm.core.config import Config

if TYPE_CHECKING:
    from torch import Tensor

    from qfedfm.core.tensors import FlatTensors, Layout
    from qfedfm.core.update import Update
    from qfedfm.optim.circuits.landscape import Landscape
    from qfedfm.optim.client import OptimizerConfig

Vectors = dict[str, "Tensor"]
PERSONAL = "personal"
"""The client vector that holds a personal model, for algorithms that train one."""


class Algorithm(Config):
    """Plain local training; methods override what they change.

    Attributes:
        auxiliary: Names of what travels up beside the difference.
        private: Names of server vectors that do not travel down.
        remembers: Whether clients or server keep vectors in the model's coordinates, whose meaning is
            lost if a rule changes them.
        uniform: Whether the method is defined for the plain mean over clients only.
        rescales: Whether the method rescales whole updates before they are combined.
        moves_server: Whether the method is itself the server's step, so that no server optimizer fits.
        one_step: Whether a client takes exactly one step a round.
        measures: Whether ``measure`` is called on the trained model.
        seeded: Whether what is trained and travels are coefficients of a pool of directions.
        needs_circuit: Whether the head must have a circuit whose weights are trained.
    """

    kind: str

    auxiliary: ClassVar[tuple[str, ...]] = ()
    private: ClassVar[tuple[str, ...]] = ()
    remembers: ClassVar[bool] = False
    uniform: ClassVar[bool] = False
    rescales: ClassVar[bool] = False
    moves_server: ClassVar[bool] = False
    one_step: ClassVar[bool] = False
    measures: ClassVar[bool] = False
    seeded: ClassVar[bool] = False
    needs_circuit: ClassVar[bool] = False

    @property
    def repeats(self) -> int:
        """How many steps are taken on each batch."""
        return 1

    @property
    def corrects(self) -> bool:
        """Whether the method edits gradients."""
        return type(self).correct is not Algorithm.correct or self.personal() is not None

    @property
    def alone(self) -> bool:
        """Whether clients are trained one by one even where they could share calls."""
        return False

    def check(self, optimizer: OptimizerConfig, *, constant_rate: bool, clipped: bool) -> None:
        """Raises RequestError if the method is not defined for these client options."""

    def keeps(self, name: str) -> bool:
        """Returns whether the tensor ``name`` stays with each client and is never averaged."""
        return False

    def personal(self) -> Algorithm | None:
        """Returns the algorithm of a second training that starts from the client's personal model."""
        return None

    def auxiliary_shapes(self, layout: Layout) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Returns names and shapes of what travels up beside the difference; vectors (d,) by default."""
        return tuple((name, (layout.size,)) for name in self.auxiliary)

    def server_init(self, start: Tensor) -> Vectors:
        """Returns the server's vectors at the beginning, each (d,)."""
        return {}

    def client_init(self, start: Tensor) -> Vectors:
        """Returns one client's vectors at the beginning, each (d,)."""
        return {}

    def begin(self, start: Tensor, server: Vectors, client: Vectors) -> Vectors:
        """Returns the tensors that ``correct`` needs, each (d,) or (K, d).

        Args:
            start: The global model, (d,), or each client's part of it, (K, d).
            server: The server's vectors, each (d,).
            client: The clients' vectors, each (K, d).
        """
        return {}

    def correct(self, leaves: Mapping[str, Tensor], local: Mapping[str, FlatTensors]) -> None:
        """Edits the gradients of ``leaves`` in place."""

    def after_step(
        self, leaves: Mapping[str, Tensor], local: Mapping[str, FlatTensors], step: int, rate: float
    ) -> None:
        """Edits ``local`` in place after the optimizer's step number ``step`` (from 0).

        Args:
            leaves: The clients' tensors, after the step.
            local: What ``begin`` returned.
            step: The step's number in this round.
            rate: The factor of the schedule.
        """

    def measure(self, landscape: Landscape) -> Vectors:
        """Returns auxiliary tensors of the trained clients, each with a leading axis K.

        Args:
            landscape: Each client's first batch as a function of its circuit weights, at the trained model.
        """
        return {}

    def settle(self, model: Tensor) -> Tensor:
        """Returns the server's new model (d,) as it can be told to clients."""
        return model

    def outcome(self, start: Tensor, delta_KD: Tensor, local: Vectors) -> tuple[Tensor, Vectors]:
        """Returns (the differences that travel, client vectors to keep), each (K, d).

        Args:
            start: What ``begin`` was given.
            delta_KD: Trained minus start.
            local: What ``begin`` returned, as it is now; (d,) or (K, d).
        """
        return delta_KD, {}

    def lengths(self, steps_K: Tensor, optimizer: OptimizerConfig) -> Tensor:
        """Returns what ``finish`` is given as each client's number of steps, (K,)."""
        return steps_K

    def finish(
        self,
        delta_KD: Tensor,
        steps_K: Tensor,
        rate: float,
        server: Vectors,
        client: Vectors,
    ) -> tuple[Vectors, Vectors]:
        """Returns (auxiliary, client vectors), each with a leading axis K.

        Args:
            delta_KD: Trained minus global model.
            steps_K: Local steps that each client took.
            rate: The learning rate of this round.
            server: The server's vectors, each (d,).
            client: The clients' vectors, each (K, d).
        """
        return {}, client

    def pack(self, update: Update) -> Update:
        """Returns the update as it travels, after the stages."""
        return update

    def unpack(self, update: Update, layout: Layout) -> Update:
        """Returns the update as the stages sent it.

        Raises:
            UpdateRefusedError: If it is not what this method sends.
        """
        return update

    def on_cohort(self, cohort: Cohort, p_K: Tensor) -> Cohort:
        """Returns the admitted updates as the rule shall see them.

        Args:
            cohort: The admitted updates.
            p_K: The weights with which the rule averages them.
        """
        return cohort

    def move(
        self, combined: Combined, cohort: Cohort, server: Vectors, clients: int
    ) -> tuple[Combined, Vectors]:
        """Returns what the server optimizer sees, and the server's next vectors.

        Args:
            combined: What the rule and the stages made of the cohort.
            cohort: The admitted updates.
            server: The server's vectors, each (d,).
            clients: How many clients the federation has, N.
        """
        return combined, self.server_step(server, cohort.auxiliary, clients)

    def server_step(self, server: Vectors, auxiliary: Mapping[str, Tensor], clients: int) -> Vectors:
        """Returns the server's next vectors.

        Args:
            server: Its vectors, each (d,).
            auxiliary: The admitted clients' auxiliary, each with a leading axis K.
            clients: How many clients the federation has, N.
        """
        return server

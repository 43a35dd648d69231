"""The parts of a federation, checked against each other once, before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qfedfm.aggregation import AggregationConfig
from qfedfm.core.errors import RequestError
from qfedfm.core.random import Streams
from qfedfm.core.tensors import Layout
from qfedfm.federation.config import ClientConfig, FederationConfig
from qfedfm.federation.stages import Stage, StageConfig
from qfedfm.federation.state import State

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Plan:
    """What every round of a federation does.

    Args:
        federation: Rounds, cohort, sampler, server optimizer, faults.
        client: Local training.
        aggregation: The rule that combines updates.
        stages: Steps around the update, in the client's order.
    """

    federation: FederationConfig
    client: ClientConfig
    aggregation: AggregationConfig
    stages: tuple[Stage, ...] = ()

    @staticmethod
    def of(
        federation: FederationConfig,
        client: ClientConfig,
        aggregation: AggregationConfig,
        stages: Sequence[StageConfig] = (),
    ) -> Plan:
        """Returns the plan of these parts."""
        return Plan(federation, client, aggregation, tuple(stages))

    def cohort_size(self, clients: int) -> int:
        """Returns how many of ``clients`` take part in a round.

        Raises:
            RequestError: If the experiment asks for more clients than there are.
        """
        if self.federation.engine == "central":
            return 1
        cohort = self.federation.cohort
        if cohort is not None and cohort > clients:
            raise RequestError(f"federation.cohort is {cohort} but there are only {clients} clients")
        return clients if cohort is None else cohort

    def auxiliary_layout(self, size: int) -> Layout:
        """Returns the names and shapes of what the algorithm sends beside the difference."""
        return Layout(tuple((name, (size,)) for name in self.client.algorithm.auxiliary))

    def initial_state(self, model: Tensor, rng: Streams) -> State:
        """Returns the state before the first round, from the initial model (d,)."""
        return State(
            round=0,
            model=model,
            rng=rng,
            server=self.federation.server_optimizer.init(model),
            aggregator=self.aggregation.init(model),
            algorithm=self.client.algorithm.server_init(model),
        )

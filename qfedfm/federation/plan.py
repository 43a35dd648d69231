"""The parts of a federation, checked against each other once, before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qfedfm.aggregation import AggregationConfig
from qfedfm.core.errors import RequestError
from qfedfm.core.random import Streams
from qfedfm.core.tensors import Layout
from qfedfm.federation.compatibility import Adapter, check
from qfedfm.federation.config import ClientConfig, FederationConfig
from qfedfm.federation.stages import Stage, StageConfig
from qfedfm.federation.state import State
from qfedfm.security.summation import Plain, SumProtocol

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
        adapter: The LoRA adapter, or None for other adapters and for none.
        protocol: How the server learns the sum of the updates, or each of them.
    """

    federation: FederationConfig
    client: ClientConfig
    aggregation: AggregationConfig
    stages: tuple[Stage, ...] = ()
    adapter: Adapter | None = None
    protocol: SumProtocol = field(default_factory=Plain)

    @staticmethod
    def of(
        federation: FederationConfig,
        client: ClientConfig,
        aggregation: AggregationConfig,
        stages: Sequence[StageConfig] = (),
        adapter: Adapter | None = None,
        protocol: SumProtocol | None = None,
    ) -> Plan:
        """Returns the plan of these parts; see :func:`qfedfm.federation.compatibility.check`.

        Raises:
            RequestError: If they do not fit together.
        """
        protocol = protocol or Plain()
        check(federation, client, aggregation, stages, adapter, protocol.reveals)
        return Plan(federation, client, aggregation, tuple(stages), adapter, protocol)

    def keeps(self, name: str) -> bool:
        """Returns whether the tensor ``name`` stays with each client and is never averaged."""
        return self.aggregation.keeps(name) or self.client.algorithm.keeps(name)

    def ranks(self, state: State, cohort: Sequence[int]) -> dict[int, int] | None:
        """Returns the LoRA rank of each client of ``cohort``, or None where all train the adapter's."""
        if self.adapter is None:
            return None
        given = self.client.ranks or (self.adapter.rank,)
        configured = {client: given[client % len(given)] for client in cohort}
        now = dict(self.aggregation.ranks(state.aggregator, configured))
        return None if set(now.values()) <= {self.adapter.rank} else now

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

    def auxiliary_layout(self, layout: Layout) -> Layout:
        """Returns the names and shapes of what the algorithm sends beside the difference."""
        return Layout(self.client.algorithm.auxiliary_shapes(layout))

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

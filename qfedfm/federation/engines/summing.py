"""An engine whose clients keep their updates and let the server learn only the sum.

Shapes: d = numbers that travel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qfedfm.core.errors import UpdateRefusedError
from qfedfm.core.metrics import Metrics
from qfedfm.core.random import Streams
from qfedfm.core.tensors import Layout
from qfedfm.core.update import Update
from qfedfm.federation.engines import Audit, Offer
from qfedfm.federation.engines.around import Around
from qfedfm.security.summation import Job, SumAbortedError, SumClient, Summation, SumProtocol, SumServer
from qfedfm.security.summation.protocol import Message, check_finite

if TYPE_CHECKING:
    from qfedfm.federation.engines import Engine
    from qfedfm.federation.faults import Faults
    from qfedfm.federation.messages import Broadcast
    from qfedfm.federation.plan import Plan

NEVER = "offer"
"""Where a client is silent from the beginning."""


class SummingEngine(Around):
    """Puts a sum protocol around an engine; all clients' ends are in this process.

    A client that drops out of a round vanishes at a drawn moment before its update is sent: it never answers,
    or it takes part in some phases first. Either way its update is in no sum.

    Args:
        engine: Who trains.
        protocol: How the sum is formed.
        streams: Randomness of what is simulated.
        last: What :meth:`record` gave in the last round before an interruption.
    """

    def __init__(
        self, engine: Engine, protocol: SumProtocol, streams: Streams, last: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(engine)
        self._protocol = protocol
        self._summation: Summation = protocol.open(streams, last)
        self._updates: dict[int, Update] = {}
        self._vectors: dict[int, np.ndarray] = {}
        self._leaves: dict[int, str] = {}
        self._gone: dict[int, str] = {}
        self._ends: dict[int, SumClient] = {}
        self._job: Job | None = None

    def train(
        self, plan: Plan, broadcast: Broadcast, cohort: Sequence[int], faults: Faults, rng: Streams
    ) -> list[Update]:
        """Refuses: here the server asks for offers."""
        raise AssertionError("behind a sum protocol no update reaches the server")

    def offers(
        self, plan: Plan, broadcast: Broadcast, cohort: Sequence[int], faults: Faults, rng: Streams
    ) -> list[Offer]:
        """Trains; returns the offers in the cohort's order."""
        self._job, self._ends, self._gone = None, {}, {}
        self._leaves = self._moments(faults.dropped, rng("sum", "leaves"))
        updates = self._engine.train(plan, broadcast, cohort, faults, rng)
        self._updates = {update.client: update for update in updates}
        self._vectors = {}
        offers = []
        for client in cohort:
            if self._leaves.get(client) == NEVER:
                self._gone[client] = NEVER
                continue
            offers.append(self._offer(client, broadcast))
        return offers

    def begin(self, job: Job) -> SumServer:
        """Makes both kinds of ends."""
        self._job = job
        server = self._summation.server(job)
        self._ends = {k: self._summation.client(job, k, self._vectors.get(k)) for k in job.clients}
        return server

    def exchange(self, phase: str, messages: Mapping[int, Message]) -> Mapping[int, Message]:
        """Returns the replies of those who are there and willing, by client."""
        replies: dict[int, Message] = {}
        for client, message in messages.items():
            if self._leaves.get(client) == phase:
                self._gone[client] = phase
            if client in self._gone:
                continue
            try:
                replies[client] = self._ends[client].reply(phase, message)
            except SumAbortedError as error:
                self._gone[client] = f"{phase}: {error}"
        return replies

    def audit(self, clients: Sequence[int]) -> Audit:
        """Returns what the sum over ``clients`` should be."""
        assert self._job is not None
        weights = self._job.weights
        total = sum(weights[k] * self._vectors[k].astype(np.float64) for k in clients)
        return Audit(
            Metrics.total(self._updates[k].metrics for k in clients),
            np.asarray(total) / sum(weights[k] for k in clients),
            sum(self._ends[k].notes.get("clipped", 0) for k in clients),
        )

    def record(self, round_number: int) -> dict[str, Any]:
        """Returns who vanished when, and what the protocol records of the round, from 0."""
        left = {str(client): self._gone[client] for client in sorted(self._gone)}
        return {"left": left, **self._summation.record(round_number)}

    def close(self) -> None:
        """Closes the protocol."""
        self._summation.close()

    def _moments(self, dropped: Sequence[int], rng: np.random.Generator) -> dict[int, str]:
        """Returns when each client vanishes; a quarter never answers, whatever the protocol."""
        phases = self._protocol.phases
        before = phases[: phases.index(self._protocol.contributes) + 1]
        draws = 4 * rng.random(len(dropped))
        return {
            client: NEVER if draw < 1 else before[int((draw - 1) / 3 * len(before))]
            for client, draw in zip(sorted(dropped), draws, strict=True)
        }

    def _offer(self, client: int, broadcast: Broadcast) -> Offer:
        """Returns the client's offer; it looks at its own numbers first, since nobody else can."""
        update, refused = self._updates.get(client), ""
        schema = broadcast.layout.schema
        if update is not None:
            schema = update.schema
            layout = Layout.of(update.delta)
            vector = layout.flatten(update.delta).detach().cpu().numpy()
            try:
                check_finite(vector)
            except UpdateRefusedError as error:
                refused = str(error)
            self._vectors[client] = vector
        return Offer(client, broadcast.round, int(self.sizes[client]), schema, refused)

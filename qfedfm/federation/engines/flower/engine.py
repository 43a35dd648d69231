"""The engine whose clients are on other machines: the server's side of training, sums and records."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qfedfm.core.errors import UpdateRefusedError
from qfedfm.core.random import Streams
from qfedfm.core.tensors import Layout
from qfedfm.core.update import Update
from qfedfm.federation.config import FlowerConfig
from qfedfm.federation.engines import Audit, Offer
from qfedfm.federation.engines.flower.asking import Asking, Spent, expect
from qfedfm.federation.engines.flower.attendance import Attendance
from qfedfm.federation.engines.flower.roster import Roster
from qfedfm.federation.engines.flower.server_end import ServerEnd
from qfedfm.federation.engines.flower.summing import describe
from qfedfm.federation.engines.flower.training import Training
from qfedfm.federation.engines.flower.transport import Transport
from qfedfm.federation.engines.flower.wire import OFFER, PHASE, UPDATE, Envelope, new_token
from qfedfm.security.channel.errors import ChannelError
from qfedfm.security.summation import Job, Summation, SumProtocol, SumServer

if TYPE_CHECKING:
    from torch import Tensor

    from qfedfm.federation.faults import Faults
    from qfedfm.federation.messages import Broadcast
    from qfedfm.federation.plan import Plan
    from qfedfm.security.summation.protocol import Message


class FlowerEngine:
    """Trains clients on other machines.

    Args:
        transport: Who delivers messages.
        layout: What is trained and travels.
        clients: How many clients there are.
        options: Deadlines and how many replies a round needs.
        channel: The server's end of the channel, or None.
        protocol: How updates are summed.
        streams: The experiment's streams.
        roster: Where the roster lies, or None to keep it in memory.
        invitation: What a client is told of the experiment when it introduces itself.
        say: Told what happens, one sentence each.
    """

    def __init__(
        self,
        transport: Transport,
        layout: Layout,
        clients: int,
        options: FlowerConfig,
        *,
        channel: ServerEnd | None = None,
        protocol: SumProtocol,
        streams: Streams,
        roster: Path | None = None,
        invitation: Mapping[str, Any] | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        say = say or (lambda sentence: None)
        transport.tell(say)
        self._layout = layout
        self._minimum = options.minimum
        self._channel = channel
        self._protocol = protocol
        self._summation: Summation | None = None
        self._streams = streams
        self._last: Mapping[str, Any] = {}
        self._roster = Roster(clients, layout.schema, roster, transport.owners)
        self._attendance = Attendance(transport, self._roster, options, invitation or {}, say)
        self._asking = Asking(transport, options.deadline, say)
        self._training = Training(self._asking, self._attendance, layout, options.minimum, channel)
        self._gone: dict[int, str] = {}
        self._job: Job | None = None

    @property
    def sizes(self) -> np.ndarray:
        """Training examples per client, shape (N,); waits until every client has been there once."""
        self.assemble()
        return np.array([self._roster.entries[k].examples for k in sorted(self._roster.entries)])

    @property
    def class_counts(self) -> np.ndarray:
        """Refuses: how many examples of each class a client holds does not leave its machine."""
        raise AssertionError("a sampler that asks for class counts is refused when the experiment is read")

    @property
    def layout(self) -> Layout:
        """What is trained and travels."""
        return self._layout

    def resume(self, last: Mapping[str, Any]) -> None:
        """Takes over what the last round's record says of keys and links; nothing before the first."""
        self._last = last
        if self._channel is not None:
            levels = last.get("key_pool_bits", {})
            self._channel.resume({int(client): bits for client, bits in levels.items()})

    def assemble(self) -> None:
        """Waits until every client has introduced itself; see :class:`Attendance`."""
        self._attendance.assemble()

    @property
    def spent(self) -> Spent:
        """What the round's messages took."""
        return self._asking.spent

    def train(
        self, plan: Plan, broadcast: Broadcast, cohort: Sequence[int], faults: Faults, rng: Streams
    ) -> list[Update]:
        """Returns the updates that came in time and can be read."""
        replies = self._training.ask(plan, broadcast, cohort, faults)
        updates = []
        largest = self._training.largest(plan)
        began = time.perf_counter()
        for client, reply in replies:
            try:
                expect(reply, UPDATE)
                content = reply.body
                if self._channel is not None:
                    content = self._channel.open(client, broadcast.round, self._layout.schema, content)
                if len(content) > largest:
                    raise UpdateRefusedError(
                        f"the update has {len(content)} bytes, and at most {largest} are accepted"
                    )
                update = Update.from_bytes(content)
                if update.client != client:
                    raise UpdateRefusedError(f"it answers as client {update.client}")
            except (UpdateRefusedError, ChannelError) as error:
                self._asking.refuse(client, str(error))
                continue
            self._training.holds(client, broadcast.round)
            updates.append(_on(broadcast.model, update))
        self.spent.add("reading", began)
        return self._enough(updates)

    def refused(self) -> list[tuple[int, str]]:
        """Returns ``(client, reason)`` of what was refused, or did not come, in the round."""
        return sorted(self._asking.refused)

    @property
    def broadcast_bytes(self) -> int:
        """Bytes of the round's broadcasts, before sealing."""
        return self.spent.broadcast_bytes

    def personal(self, plan: Plan, model: Tensor, clients: Sequence[int]) -> list[Tensor] | None:
        """Returns None: the clients' own models are on their machines."""
        return None

    # The sum protocol -------------------------------------------------------------------------------

    def offers(
        self, plan: Plan, broadcast: Broadcast, cohort: Sequence[int], faults: Faults, rng: Streams
    ) -> list[Offer]:
        """Lets clients train and keep their updates; returns who has one."""
        self._job, self._gone = None, {}
        offers = []
        for client, reply in self._training.ask(plan, broadcast, cohort, faults):
            try:
                expect(reply, OFFER)
                offer = Offer.from_bytes(reply.body)
                if offer.client != client:
                    raise UpdateRefusedError(f"it answers as client {offer.client}")
                if offer.examples != self._roster.entries[client].examples:
                    raise UpdateRefusedError(f"it claims {offer.examples} examples, and joined with others")
            except UpdateRefusedError as error:
                self._asking.refuse(client, str(error))
                continue
            self._training.holds(client, broadcast.round)
            offers.append(offer)
        self._gone = {client: "offer" for client in cohort if client not in {o.client for o in offers}}
        return self._enough(offers)

    def begin(self, job: Job) -> SumServer:
        """Returns the server's end."""
        if self._summation is None:
            self._summation = self._protocol.open(self._streams.at("sum"), self._last.get("sum"))
        self._job = job
        return self._summation.server(job)

    def exchange(self, phase: str, messages: Mapping[int, Message]) -> Mapping[int, Message]:
        """Delivers a phase's messages; returns the replies of those who answer."""
        assert self._job is not None
        job, requests = self._job, {}
        for client, message in messages.items():
            assert isinstance(message, bytes)
            fields: dict[str, Any] = {"round": job.round, "client": client, "phase": phase}
            if phase == self._protocol.phases[0]:
                known = self._roster.entries
                fields["job"] = describe(job)
                fields["directory"] = {str(k): known[k].identity for k in job.clients}
            requests[client] = Envelope(PHASE, new_token(), fields, message)
        replies: dict[int, Message] = {}
        limit = 8 * job.size + (1 << 22)
        for client, reply in self._asking.ask(requests, self._roster.places, limit):
            try:
                expect(reply, PHASE)
            except UpdateRefusedError as error:
                self._gone[client] = f"{phase}: {error}"
                continue
            replies[client] = reply.body
        for client in messages:
            if client not in replies:
                self._gone.setdefault(client, phase)
        return replies

    def audit(self, clients: Sequence[int]) -> Audit | None:
        """Returns None: nobody here knows the clients' numbers."""
        return None

    def record(self, round_number: int) -> dict[str, Any]:
        """Returns who vanished when, and what the protocol records of the round, from 0."""
        found = self._summation.record(round_number) if self._summation is not None else {}
        return {"left": {str(client): self._gone[client] for client in sorted(self._gone)}, **found}

    def close(self) -> None:
        """Closes the protocol."""
        if self._summation is not None:
            self._summation.close()

    def end_round(self, round_number: int) -> dict[str, Any]:
        """Returns what the channel records of the round, from 0; nothing without one."""
        return {} if self._channel is None else self._channel.end_round(round_number)

    def _enough(self, replies: list[Any]) -> list[Any]:
        """Returns the replies, or none of them where the round needs more."""
        if not replies or len(replies) >= self._minimum:
            return replies
        sentence = f"{len(replies)} clients replied, and a round needs {self._minimum}"
        for reply in replies:
            self._asking.refuse(reply.client, sentence)
        return []


def _on(model: Tensor, update: Update) -> Update:
    """Returns the update with its tensors where the model is."""
    return replace(
        update,
        delta={name: tensor.to(model.device) for name, tensor in update.delta.items()},
        auxiliary={name: tensor.to(model.device) for name, tensor in update.auxiliary.items()},
    )

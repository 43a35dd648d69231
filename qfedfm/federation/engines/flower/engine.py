"""The server's side: sends the round's messages to the clients' machines and judges what comes back.

A reply is to one of this round's requests or it is refused: it repeats the request's token, which the server
drew, so a late, doubled or replayed message is in no round. What is refused is recorded with its sentence,
and the round is what it would have been without that client.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qfedfm.core.errors import RunError, UpdateRefusedError
from qfedfm.core.random import Streams
from qfedfm.core.tensors import Layout
from qfedfm.core.update import Update
from qfedfm.federation.config import FlowerConfig
from qfedfm.federation.engines import Audit, Offer
from qfedfm.federation.engines.flower.roster import Roster
from qfedfm.federation.engines.flower.sealing import ServerEnd, half, offered_kinds
from qfedfm.federation.engines.flower.summing import describe
from qfedfm.federation.engines.flower.transport import Transport
from qfedfm.federation.engines.flower.wire import (
    BEHIND,
    HELLO,
    KEYS,
    OFFER,
    PHASE,
    REFUSED,
    SLACK,
    TRAIN,
    UPDATE,
    Envelope,
    new_token,
    parse,
)
from qfedfm.federation.travel import Travel
from qfedfm.security.channel.errors import ChannelError
from qfedfm.security.summation import Job, Summation, SumProtocol, SumServer

if TYPE_CHECKING:
    from torch import Tensor

    from qfedfm.federation.faults import Faults
    from qfedfm.federation.messages import Broadcast
    from qfedfm.federation.plan import Plan
    from qfedfm.security.channel.agreement import Half
    from qfedfm.security.summation.protocol import Message

POLL_SECONDS = 1.0
HEADER, PER_TENSOR = 4096, 512
"""Bytes that an update's header may have, and what it may say of each tensor."""
_log = logging.getLogger(__name__)


@dataclass
class Spent:
    """What the messages of a round took.

    Args:
        broadcast_bytes: What broadcasts took before sealing.
        seconds: Per part of the work, wall-clock.
    """

    broadcast_bytes: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, part: str, began: float) -> None:
        """Adds the time since ``began`` to a part."""
        self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - began


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
        self._transport = transport
        self._layout = layout
        self._options = options
        self._channel = channel
        self._protocol = protocol
        self._summation: Summation | None = None
        self._streams = streams
        self._last: Mapping[str, Any] = {}
        self._invitation = dict(invitation or {})
        self._roster = Roster(clients, layout.schema, roster, transport.owners)
        self._say = say or (lambda sentence: None)
        self._transport.tell(self._say)
        self._judged: dict[int, str] = {}
        self._holds: dict[int, int] = {}
        self._refused: list[tuple[int, str]] = []
        self._gone: dict[int, str] = {}
        self._assembled = False
        self._job: Job | None = None
        self.spent = Spent()

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
        """Waits until every client has introduced itself.

        Where this server was started again, those it knows are waited for as well, but no longer than for a
        reply: its first round is theirs, not only of those who notice first that it is back.

        Raises:
            RunError: Not all came in time.
        """
        self._everybody()
        if not self._assembled:
            self._assembled = True
            self._wait_for(list(self._roster.entries), len(self._roster.entries))

    def _wait_for(self, clients: Sequence[int], count: int) -> None:
        """Waits until ``count`` of the clients are connected, at most as long as for a reply."""
        ending, said = time.monotonic() + self._options.deadline, False
        while True:
            self._greet()
            away = [client for client in clients if client not in self._roster.places]
            if len(clients) - len(away) >= count or time.monotonic() >= ending:
                return
            if not said:
                said = True
                self._say(f"waiting for {', '.join(f'client {k}' for k in away)} to come back")
            time.sleep(min(POLL_SECONDS, self._options.deadline))

    def _everybody(self) -> None:
        deadline, said = time.monotonic() + self._options.wait, -1
        while self._roster.missing:
            self._greet()
            missing = self._roster.missing
            if missing and len(missing) != said:
                said = len(missing)
                self._say(f"waiting for {said} client{'s' if said > 1 else ''} to join")
            if missing and time.monotonic() > deadline:
                raise RunError(
                    f"{len(missing)} clients did not join within {self._options.wait:g} seconds "
                    "(federation.flower.wait); start them with `qfedfm join` and continue with --resume"
                )
            if missing:
                time.sleep(min(POLL_SECONDS, self._options.wait))

    def train(
        self, plan: Plan, broadcast: Broadcast, cohort: Sequence[int], faults: Faults, rng: Streams
    ) -> list[Update]:
        """Returns the updates that came in time and can be read."""
        replies = self._round(plan, broadcast, cohort, faults)
        updates = []
        largest = self._largest(plan, broadcast)
        began = time.perf_counter()
        for client, reply in replies:
            try:
                self._expect(reply, UPDATE)
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
                self._refuse(client, str(error))
                continue
            self._holds[client] = broadcast.round
            updates.append(_on(broadcast.model, update))
        self.spent.add("reading", began)
        return self._enough(updates)

    def refused(self) -> list[tuple[int, str]]:
        """Returns ``(client, reason)`` of what was refused, or did not come, in the round."""
        return sorted(self._refused)

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
        for client, reply in self._round(plan, broadcast, cohort, faults):
            try:
                self._expect(reply, OFFER)
                offer = Offer.from_bytes(reply.body)
                if offer.client != client:
                    raise UpdateRefusedError(f"it answers as client {offer.client}")
                if offer.examples != self._roster.entries[client].examples:
                    raise UpdateRefusedError(f"it claims {offer.examples} examples, and joined with others")
            except UpdateRefusedError as error:
                self._refuse(client, str(error))
                continue
            self._holds[client] = broadcast.round
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
        for client, reply in self._ask(requests, limit=8 * job.size + (1 << 22)):
            try:
                self._expect(reply, PHASE)
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

    # Messages ----------------------------------------------------------------------------------------

    def _round(
        self, plan: Plan, broadcast: Broadcast, cohort: Sequence[int], faults: Faults
    ) -> list[tuple[int, Envelope]]:
        """Asks the cohort to train; a client that lost its model is sent the whole one, once."""
        self.assemble()
        self._refused, self.spent = [], Spent()
        # Without this a round a second would be lost while everybody is away.
        self._wait_for(cohort, min(self._options.minimum, len(cohort)))
        present = [client for client in cohort if client not in faults.dropped]
        asked = []
        for client in present:
            if client in self._roster.places:
                asked.append(client)
            else:
                self._refuse(client, self._judged.get(client, "it was not connected when the round began"))
        asked = self._agree(broadcast.round, asked)
        travel = Travel(plan, self._layout, broadcast.round, broadcast.ranks, drawn=True)
        requests = {
            k: self._request(broadcast, travel, k, faults, in_step=self._in_step(k, broadcast)) for k in asked
        }
        limit = self._largest(plan, broadcast) + SLACK
        replies = self._ask(requests, limit)
        behind = [client for client, reply in replies if reply.kind == BEHIND]
        if behind:
            for client in behind:
                self._holds.pop(client, None)
            again = self._agree(broadcast.round, behind)
            more = {k: self._request(broadcast, travel, k, faults, in_step=False) for k in again}
            replies = [entry for entry in replies if entry[0] not in behind] + self._ask(more, limit)
        order = {client: place for place, client in enumerate(cohort)}
        return sorted(replies, key=lambda entry: order[entry[0]])

    def _in_step(self, client: int, broadcast: Broadcast) -> bool:
        return broadcast.round > 0 and self._holds.get(client) == broadcast.round - 1

    def _request(
        self, broadcast: Broadcast, travel: Travel, client: int, faults: Faults, *, in_step: bool
    ) -> Envelope:
        began = time.perf_counter()
        # All changes of frozen weights travel, and what could be drawn: adding up rounded changes, or the
        # server's step on drawn factors, would not end at the server's bits.
        message = broadcast.to_bytes(travel.down(client, in_step), in_step=False)
        self.spent.broadcast_bytes += len(message)
        fields: dict[str, Any] = {"round": broadcast.round, "client": client, "in_step": in_step}
        rank = travel.rank(client)
        if rank is not None:
            fields["rank"] = rank
        if client in faults.work:
            fields["work"] = float(faults.work[client])
        if self._channel is not None:
            fields |= {"seal": self._channel.header(client), "server": self._server_identity()}
            message = self._channel.seal(client, broadcast.round, self._layout.schema, message)
        self.spent.add("writing", began)
        return Envelope(TRAIN, new_token(), fields, message)

    def _agree(self, number: int, clients: Sequence[int]) -> list[int]:
        """Has the round's keys with each client; returns those with whom that worked."""
        channel = self._channel
        if channel is None or not clients:
            return list(clients)
        kinds = offered_kinds(channel.config)
        offers: dict[int, dict[str, Half]] = {client: {} for client in clients}
        if kinds:
            fields = {"round": number, "server": self._server_identity(), "kinds": list(kinds)}
            requests = {k: Envelope(KEYS, new_token(), {**fields, "client": k}) for k in clients}
            offers = {}
            for client, reply in self._ask(requests, limit=SLACK):
                try:
                    self._expect(reply, KEYS)
                    given = reply.mapping("offers")
                    found = {kind: half(given[kind]) for kind in kinds if kind in given}
                    channel.know(client, bytes.fromhex(self._roster.entries[client].identity))
                    channel.check_offer(client, number, found)
                except (UpdateRefusedError, ChannelError) as error:
                    self._refuse(client, str(error))
                    continue
                offers[client] = found
        channel.open_round(number, sorted(offers), offers)
        return [client for client in clients if client in offers]

    def _server_identity(self) -> str:
        assert self._channel is not None
        return self._channel.public.hex()

    def _greet(self) -> None:
        """Has every machine that is new here introduce itself."""
        nodes = set(self._transport.nodes())
        self._roster.leave(set(self._roster.places.values()) - nodes)
        new = sorted(nodes - set(self._roster.places.values()))
        requests = {node: Envelope(HELLO, new_token(), self._invitation) for node in new}
        found = self._transport.deliver(
            {n: r.to_bytes() for n, r in requests.items()}, self._options.deadline
        )
        for arrival in found:
            try:
                if arrival.error:
                    raise UpdateRefusedError(arrival.error)
                hello = parse(arrival.content, SLACK)
                if arrival.node not in requests or hello.token != requests.pop(arrival.node).token:
                    raise UpdateRefusedError("it answers no open request")
                self._expect(hello, HELLO)
                client = self._roster.enrol(arrival.node, hello)
            except UpdateRefusedError as error:
                _log.warning("machine %d was not let in: %s", arrival.node, error)
                self._say(f"machine {arrival.node} was not let in: {error}")
                continue
            held = self._roster.entries[client].examples
            self._say(f"client {client} is there, with {held} examples")

    def _ask(self, requests: Mapping[int, Envelope], limit: int) -> list[tuple[int, Envelope]]:
        """Returns each client's reply to its request; what is none is refused."""
        places = self._roster.places
        client_at = {places[client]: client for client in requests if client in places}
        open_ = {client: request.token for client, request in requests.items()}
        began = time.perf_counter()
        messages = {node: requests[client].to_bytes() for node, client in client_at.items()}
        arrivals = self._transport.deliver(messages, self._options.deadline) if messages else []
        self.spent.add("waiting", began)
        replies = []
        for arrival in arrivals:
            client = client_at.get(arrival.node)
            if client is None:
                _log.warning("machine %d sent a message that nobody asked for", arrival.node)
                continue
            try:
                if arrival.error:
                    raise UpdateRefusedError(arrival.error)
                reply = parse(arrival.content, limit)
                if client not in open_:
                    raise UpdateRefusedError("a second reply of the same client")
                if reply.token != open_[client]:
                    raise UpdateRefusedError("it answers no open request: it is late, or was sent before")
            except UpdateRefusedError as error:
                self._refuse(client, str(error))
                continue
            del open_[client]
            replies.append((client, reply))
        refused = {client for client, _ in self._refused}
        for client in open_:
            if client not in refused:
                self._refuse(client, f"it did not reply within {self._options.deadline:g} seconds")
        return replies

    @staticmethod
    def _expect(reply: Envelope, kind: str) -> None:
        if reply.kind == REFUSED:
            raise UpdateRefusedError(f"it refused: {reply.text('reason')}"[:1000])
        if reply.kind != kind:
            raise UpdateRefusedError(f"it sent {reply.kind!r}, not {kind!r}")

    def _refuse(self, client: int, reason: str) -> None:
        self._refused.append((client, reason))
        self._say(f"client {client} is not in this round: {reason}")

    def _enough(self, replies: list[Any]) -> list[Any]:
        """Returns the replies, or none of them where the round needs more."""
        if not replies or len(replies) >= self._options.minimum:
            return replies
        sentence = f"{len(replies)} clients replied, and a round needs {self._options.minimum}"
        for reply in replies:
            self._refuse(reply.client, sentence)
        return []

    def _largest(self, plan: Plan, broadcast: Broadcast) -> int:
        """Returns the most bytes that an update may have: its numbers in float32, and as much slack."""
        auxiliary = plan.auxiliary_layout(self._layout).size
        return 2 * 4 * (self._layout.size + auxiliary) + HEADER + PER_TENSOR * len(self._layout.entries)


def _on(model: Tensor, update: Update) -> Update:
    """Returns the update with its tensors where the model is."""
    return replace(
        update,
        delta={name: tensor.to(model.device) for name, tensor in update.delta.items()},
        auxiliary={name: tensor.to(model.device) for name, tensor in update.auxiliary.items()},
    )

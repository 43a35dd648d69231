"""A round's requests to train: keys with each client, the broadcast, and the whole model for who lost it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qfedfm.core.errors import UpdateRefusedError
from qfedfm.core.tensors import Layout
from qfedfm.federation.engines.flower.asking import Asking, expect
from qfedfm.federation.engines.flower.attendance import Attendance
from qfedfm.federation.engines.flower.sealing import half, offered_kinds
from qfedfm.federation.engines.flower.server_end import ServerEnd
from qfedfm.federation.engines.flower.wire import BEHIND, KEYS, SLACK, TRAIN, Envelope, new_token
from qfedfm.federation.travel import Travel
from qfedfm.security.channel.errors import ChannelError

if TYPE_CHECKING:
    from qfedfm.federation.faults import Faults
    from qfedfm.federation.messages import Broadcast
    from qfedfm.federation.plan import Plan
    from qfedfm.security.channel.agreement import Half

HEADER, PER_TENSOR = 4096, 512
"""Bytes that an update's header may have, and what it may say of each tensor."""


class Training:
    """Has clients train.

    Args:
        asking: Delivers requests and judges replies.
        attendance: Who is connected.
        layout: What is trained and travels.
        minimum: How many clients a round needs.
        channel: The server's end of the channel, or None.
    """

    def __init__(
        self,
        asking: Asking,
        attendance: Attendance,
        layout: Layout,
        minimum: int,
        channel: ServerEnd | None,
    ) -> None:
        self._asking = asking
        self._attendance = attendance
        self._layout = layout
        self._minimum = minimum
        self._channel = channel
        self._holds: dict[int, int] = {}

    def ask(
        self, plan: Plan, broadcast: Broadcast, cohort: Sequence[int], faults: Faults
    ) -> list[tuple[int, Envelope]]:
        """Asks the cohort to train; returns the replies in its order."""
        self._attendance.assemble()
        self._asking.begin_round()
        # Without this a round a second would be lost while everybody is away.
        self._attendance.wait_for(cohort, min(self._minimum, len(cohort)))
        places, asked = self._attendance.roster.places, []
        for client in cohort:
            if client in faults.dropped:
                continue
            if client in places:
                asked.append(client)
            else:
                self._asking.refuse(client, "it was not connected when the round began")
        asked = self._agree(broadcast.round, asked)
        travel = Travel(plan, self._layout, broadcast.round, broadcast.ranks, drawn=True)
        requests = {
            k: self._request(broadcast, travel, k, faults, in_step=self._in_step(k, broadcast)) for k in asked
        }
        limit = self.largest(plan) + SLACK
        replies = self._asking.ask(requests, places, limit)
        behind = [client for client, reply in replies if reply.kind == BEHIND]
        if behind:
            for client in behind:
                self._holds.pop(client, None)
            again = self._agree(broadcast.round, behind)
            more = {k: self._request(broadcast, travel, k, faults, in_step=False) for k in again}
            kept = [entry for entry in replies if entry[0] not in behind]
            replies = kept + self._asking.ask(more, places, limit)
        order = {client: place for place, client in enumerate(cohort)}
        return sorted(replies, key=lambda entry: order[entry[0]])

    def holds(self, client: int, number: int) -> None:
        """Notes that a client has the model of a round, from 0."""
        self._holds[client] = number

    def largest(self, plan: Plan) -> int:
        """Returns the most bytes that an update may have: its numbers in float32, and as much slack."""
        auxiliary = plan.auxiliary_layout(self._layout).size
        return 2 * 4 * (self._layout.size + auxiliary) + HEADER + PER_TENSOR * len(self._layout.entries)

    def _in_step(self, client: int, broadcast: Broadcast) -> bool:
        return broadcast.round > 0 and self._holds.get(client) == broadcast.round - 1

    def _request(
        self, broadcast: Broadcast, travel: Travel, client: int, faults: Faults, *, in_step: bool
    ) -> Envelope:
        began = time.perf_counter()
        # All changes of frozen weights travel, and what could be drawn: adding up rounded changes, or the
        # server's step on drawn factors, would not end at the server's bits.
        message = broadcast.to_bytes(travel.down(client, in_step), in_step=False)
        self._asking.spent.broadcast_bytes += len(message)
        fields: dict[str, Any] = {"round": broadcast.round, "client": client, "in_step": in_step}
        rank = travel.rank(client)
        if rank is not None:
            fields["rank"] = rank
        if client in faults.work:
            fields["work"] = float(faults.work[client])
        if self._channel is not None:
            fields |= {"seal": self._channel.header(client), "server": self._channel.public.hex()}
            message = self._channel.seal(client, broadcast.round, self._layout.schema, message)
        self._asking.spent.add("writing", began)
        return Envelope(TRAIN, new_token(), fields, message)

    def _agree(self, number: int, clients: Sequence[int]) -> list[int]:
        """Has the round's keys with each client; returns those with whom that worked."""
        channel = self._channel
        if channel is None or not clients:
            return list(clients)
        kinds = offered_kinds(channel.config)
        offers: dict[int, dict[str, Half]] = {client: {} for client in clients}
        if kinds:
            offers = self._offers(channel, kinds, number, clients)
        channel.open_round(number, sorted(offers), offers)
        return [client for client in clients if client in offers]

    def _offers(
        self, channel: ServerEnd, kinds: Sequence[str], number: int, clients: Sequence[int]
    ) -> dict[int, dict[str, Half]]:
        """Returns the clients' fresh public keys, checked, of those who sent them."""
        roster, offers = self._attendance.roster, {}
        fields = {"round": number, "server": channel.public.hex(), "kinds": list(kinds)}
        requests = {k: Envelope(KEYS, new_token(), {**fields, "client": k}) for k in clients}
        for client, reply in self._asking.ask(requests, roster.places, SLACK):
            try:
                expect(reply, KEYS)
                given: Mapping[str, Any] = reply.mapping("offers")
                found = {kind: half(given[kind]) for kind in kinds if kind in given}
                channel.know(client, bytes.fromhex(roster.entries[client].identity))
                channel.check_offer(client, number, found)
            except (UpdateRefusedError, ChannelError) as error:
                self._asking.refuse(client, str(error))
                continue
            offers[client] = found
        return offers

"""Requests to clients' machines and the judgement of what comes back.

A reply is to one of this round's requests or it is refused: it repeats the request's token, which the server
drew, so a late, doubled or replayed message is in no round. What is refused is recorded with its sentence,
and the round is what it would have been without that client.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from qfedfm.core.errors import UpdateRefusedError
from qfedfm.federation.engines.flower.transport import Transport
from qfedfm.federation.engines.flower.wire import REFUSED, Envelope, parse

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


class Asking:
    """Asks clients and notes whose reply is refused in the round.

    Args:
        transport: Who delivers messages.
        deadline: Seconds after which a message that has no reply counts as lost.
        say: Told what happens, one sentence each.
    """

    def __init__(self, transport: Transport, deadline: float, say: Callable[[str], None]) -> None:
        self._transport = transport
        self._deadline = deadline
        self._say = say
        self.refused: list[tuple[int, str]] = []
        self.spent = Spent()

    def begin_round(self) -> None:
        """Forgets the round before."""
        self.refused, self.spent = [], Spent()

    def ask(
        self, requests: Mapping[int, Envelope], places: Mapping[int, int], limit: int
    ) -> list[tuple[int, Envelope]]:
        """Returns each client's reply to its request; what is none is refused.

        Args:
            requests: Per client.
            places: Per client the machine that it is on.
            limit: Most bytes of a reply.
        """
        client_at = {places[client]: client for client in requests if client in places}
        open_ = {client: request.token for client, request in requests.items()}
        began = time.perf_counter()
        messages = {node: requests[client].to_bytes() for node, client in client_at.items()}
        arrivals = self._transport.deliver(messages, self._deadline) if messages else []
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
                self.refuse(client, str(error))
                continue
            del open_[client]
            replies.append((client, reply))
        refused = {client for client, _ in self.refused}
        for client in open_:
            if client not in refused:
                self.refuse(client, f"it did not reply within {self._deadline:g} seconds")
        return replies

    def refuse(self, client: int, reason: str) -> None:
        """Notes that a client is not in the round."""
        self.refused.append((client, reason))
        self._say(f"client {client} is not in this round: {reason}")


def expect(reply: Envelope, kind: str) -> None:
    """Checks what a reply is.

    Raises:
        UpdateRefusedError: The client refused, in its words, or it is another kind.
    """
    if reply.kind == REFUSED:
        raise UpdateRefusedError(f"it refused: {reply.text('reason')}"[:1000])
    if reply.kind != kind:
        raise UpdateRefusedError(f"it sent {reply.kind!r}, not {kind!r}")

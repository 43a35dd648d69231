"""Who is there: machines introduce themselves, and rounds wait for as many as they need."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from qfedfm.core.errors import RunError, UpdateRefusedError
from qfedfm.federation.config import FlowerConfig
from qfedfm.federation.engines.flower.asking import expect
from qfedfm.federation.engines.flower.roster import Roster
from qfedfm.federation.engines.flower.transport import Transport
from qfedfm.federation.engines.flower.wire import HELLO, SLACK, Envelope, new_token, parse

POLL_SECONDS, AGAIN_SECONDS = 1.0, 60.0
"""How often it is looked who is there, and how soon a machine that was not let in is asked again."""
_log = logging.getLogger(__name__)


class Attendance:
    """The clients that are connected.

    Args:
        transport: Who knows the connected machines.
        roster: Who takes part.
        options: How long to wait.
        invitation: What a client is told of the experiment when it introduces itself.
        say: Told what happens, one sentence each.
    """

    def __init__(
        self,
        transport: Transport,
        roster: Roster,
        options: FlowerConfig,
        invitation: Mapping[str, Any],
        say: Callable[[str], None],
    ) -> None:
        self._transport = transport
        self._options = options
        self._invitation = dict(invitation)
        self._say = say
        self._assembled = False
        self._not_let_in: dict[int, float] = {}
        self.roster = roster

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
            self.wait_for(list(self.roster.entries), len(self.roster.entries))

    def wait_for(self, clients: Sequence[int], count: int) -> None:
        """Waits until ``count`` of the clients are connected, at most as long as for a reply."""
        ending, said = time.monotonic() + self._options.deadline, False
        while True:
            self._greet()
            away = [client for client in clients if client not in self.roster.places]
            if len(clients) - len(away) >= count or time.monotonic() >= ending:
                return
            if not said:
                said = True
                self._say(f"waiting for {', '.join(f'client {k}' for k in away)} to come back")
            time.sleep(min(POLL_SECONDS, self._options.deadline))

    def _everybody(self) -> None:
        """Waits until no client is missing that has never been there."""
        deadline, said = time.monotonic() + self._options.wait, -1
        while self.roster.missing:
            self._greet()
            missing = self.roster.missing
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

    def _greet(self) -> None:
        """Has every machine that is new here introduce itself."""
        nodes = set(self._transport.nodes())
        self.roster.leave(set(self.roster.places.values()) - nodes)
        now = time.monotonic()
        recent = {n: t for n, t in self._not_let_in.items() if n in nodes and now - t < AGAIN_SECONDS}
        new = sorted(nodes - set(self.roster.places.values()) - set(recent))
        self._not_let_in = recent | dict.fromkeys(new, now)
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
                expect(hello, HELLO)
                client = self.roster.enrol(arrival.node, hello)
            except UpdateRefusedError as error:
                _log.warning("machine %d was not let in: %s", arrival.node, error)
                self._say(f"machine {arrival.node} was not let in: {error}")
                continue
            del self._not_let_in[arrival.node]
            held = self.roster.entries[client].examples
            self._say(f"client {client} is there, with {held} examples")

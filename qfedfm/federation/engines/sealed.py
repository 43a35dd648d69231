"""An engine whose messages travel through a channel: serialised, sealed, opened, parsed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qfedfm.core.errors import RunError
from qfedfm.core.random import Streams
from qfedfm.core.update import Update
from qfedfm.federation.engines.around import Around
from qfedfm.federation.travel import Travel

if TYPE_CHECKING:
    from qfedfm.federation.engines import Engine
    from qfedfm.federation.faults import Faults
    from qfedfm.federation.messages import Broadcast
    from qfedfm.federation.plan import Plan
    from qfedfm.security.channel.rounds import Channel


class SealedEngine(Around):
    """Puts a channel around an engine; the numbers that arrive are those that were sent, to the bit.

    Args:
        engine: Who trains.
        channel: What the messages travel through.
    """

    def __init__(self, engine: Engine, channel: Channel) -> None:
        super().__init__(engine)
        self._channel = channel

    def train(
        self, plan: Plan, broadcast: Broadcast, cohort: Sequence[int], faults: Faults, rng: Streams
    ) -> list[Update]:
        """Returns the replies as the server opened them.

        Raises:
            ChannelError: A key is missing or a message was not accepted; the model stays as it was.
        """
        number, schema = broadcast.round, broadcast.layout.schema
        self._deliver(plan, broadcast, cohort)
        replies = self._engine.train(plan, broadcast, cohort, faults, rng)
        sent = [(reply, reply.to_bytes()) for reply in replies]
        self._channel.begin_uploads(number, {reply.client: len(content) for reply, content in sent})
        return [
            _on(reply, Update.from_bytes(self._channel.upload(reply.client, number, schema, content)))
            for reply, content in sent
        ]

    def _deliver(self, plan: Plan, broadcast: Broadcast, cohort: Sequence[int]) -> None:
        """Begins the channel's round and lets every client of the cohort open its broadcast."""
        number, schema = broadcast.round, broadcast.layout.schema
        messages = _messages(plan, broadcast, cohort)
        self._channel.begin_round(number, {client: len(message) for client, message in messages.items()})
        for client, message in messages.items():
            if self._channel.download(client, number, schema, message) != message:
                raise RunError(f"client {client} opened another broadcast than the one that was sent")

    def end_round(self, round_number: int) -> dict[str, Any]:
        """Returns what the channel records of the round, from 0."""
        return self._channel.end_round(round_number)


def _messages(plan: Plan, broadcast: Broadcast, cohort: Sequence[int]) -> dict[int, bytes]:
    """Returns per client the part of the broadcast that it needs; equal parts are serialised once."""
    travel = Travel(plan, broadcast.layout, broadcast.round, broadcast.ranks)
    made: dict[tuple[str, bool], bytes] = {}
    messages = {}
    for client in cohort:
        known = client in broadcast.reached
        layout = travel.down(client, known)
        if (layout.schema, known) not in made:
            made[layout.schema, known] = broadcast.to_bytes(layout, in_step=known)
        messages[client] = made[layout.schema, known]
    return messages


def _on(sent: Update, opened: Update) -> Update:
    """Returns ``opened`` with its tensors where those of ``sent`` are."""
    return replace(
        opened,
        delta={name: tensor.to(sent.delta[name].device) for name, tensor in opened.delta.items()},
        auxiliary={name: tensor.to(sent.auxiliary[name].device) for name, tensor in opened.auxiliary.items()},
    )

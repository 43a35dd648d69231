"""A sum protocol whose messages travel through a channel: broadcasts, offers and every phase, each sealed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qfedfm.core.errors import RunError
from qfedfm.core.random import Streams
from qfedfm.federation.engines import Offer
from qfedfm.federation.engines.sealed import SealedEngine

if TYPE_CHECKING:
    from qfedfm.federation.engines import Audit
    from qfedfm.federation.engines.summing import SummingEngine
    from qfedfm.federation.faults import Faults
    from qfedfm.federation.messages import Broadcast
    from qfedfm.federation.plan import Plan
    from qfedfm.security.channel.rounds import Channel
    from qfedfm.security.summation import Job, SumServer
    from qfedfm.security.summation.protocol import Message


class SealedSummingEngine(SealedEngine):
    """Puts a channel around an engine with a sum protocol; what arrives is what was sent, to the bit.

    The protocol hides updates from the server, the channel hides the protocol from everybody else. A message
    is bound to its phase: sealed in one, it opens in no other. Quantum states travel beside the channel.

    Args:
        engine: Who trains, and holds the protocol's ends.
        channel: What the messages travel through.
    """

    def __init__(self, engine: SummingEngine, channel: Channel) -> None:
        super().__init__(engine, channel)
        self._summing = engine
        self._round, self._schema = 0, ""

    def offers(
        self, plan: Plan, broadcast: Broadcast, cohort: Sequence[int], faults: Faults, rng: Streams
    ) -> list[Offer]:
        """Returns the offers as the server opened them.

        Raises:
            ChannelError: A key is missing or a message was not accepted; the model stays as it was.
        """
        self._round, self._schema = broadcast.round, broadcast.layout.schema
        self._deliver(plan, broadcast, cohort)
        sent = {
            offer.client: offer.to_bytes()
            for offer in self._summing.offers(plan, broadcast, cohort, faults, rng)
        }
        self._channel.begin_uploads(self._round, {client: len(content) for client, content in sent.items()})
        return [
            Offer.from_bytes(self._channel.upload(client, self._round, f"{self._schema} offer", content))
            for client, content in sent.items()
        ]

    def begin(self, job: Job) -> SumServer:
        """Makes both kinds of ends."""
        return self._summing.begin(job)

    def exchange(self, phase: str, messages: Mapping[int, Message]) -> Mapping[int, Message]:
        """Returns the replies as the server opened them, to messages as the clients opened them.

        Raises:
            ChannelError: As :meth:`offers`.
        """
        replies = self._summing.exchange(phase, self._carried("download", phase, messages))
        return self._carried("upload", phase, replies)

    def audit(self, clients: Sequence[int]) -> Audit:
        """Returns what the sum over ``clients`` should be."""
        return self._summing.audit(clients)

    def record(self, round_number: int) -> dict[str, Any]:
        """Returns what the sum's engine records of the round, from 0."""
        return self._summing.record(round_number)

    def close(self) -> None:
        """Closes the protocol."""
        self._summing.close()

    def _carried(self, direction: str, phase: str, messages: Mapping[int, Message]) -> dict[int, Message]:
        content = {client: message for client, message in messages.items() if isinstance(message, bytes)}
        sizes = {client: len(message) for client, message in content.items()}
        self._channel.begin_messages(self._round, direction, sizes)
        carry = self._channel.download if direction == "download" else self._channel.upload
        opened: dict[int, Message] = dict(messages)
        for client, message in content.items():
            opened[client] = carry(client, self._round, f"{self._schema} {phase}", message)
            if opened[client] != message:
                raise RunError(f"phase {phase}, client {client}: another message was opened than was sent")
        return opened

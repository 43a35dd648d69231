"""Flower as the transport: a message is one array of bytes in a Flower message, delivered by a SuperLink.

Flower cuts arrays into chunks of 5 MB, so a large update needs no memory beyond its own and the link's.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qfedfm.federation.engines.flower.transfers import Transfer, counting
from qfedfm.federation.engines.flower.transport import Arrival

if TYPE_CHECKING:
    from flwr.app import Message, RecordDict
    from flwr.serverapp import Grid

POLL_SECONDS = 0.2
_log = logging.getLogger(__name__)
RECORD, BYTES, FORM = "qfedfm", "message", "qfedfm.bytes"


def packed(content: bytes) -> RecordDict:
    """Returns the record that carries ``content``."""
    from flwr.app import Array, ArrayRecord, RecordDict

    array = Array(dtype="uint8", shape=(len(content),), stype=FORM, data=content)
    return RecordDict({RECORD: ArrayRecord({BYTES: array})})


def unpacked(message: Message) -> bytes:
    """Returns the content of a message; empty where it is not one that :func:`packed` made."""
    record: Any = message.content.get(RECORD)
    try:
        return bytes(record[BYTES].data)
    except (TypeError, KeyError, AttributeError):
        return b""


class FlowerTransport:
    """Delivers messages through a running Flower app's grid.

    Args:
        grid: What Flower hands to a ServerApp.
        owners: Per SuperNode, the client that its key stands for; empty where keys are not checked.
    """

    def __init__(self, grid: Grid, owners: Mapping[int, int] | None = None) -> None:
        self._grid = grid
        self.owners = dict(owners or {})
        self._say: Callable[[str], None] = _log.info

    def tell(self, say: Callable[[str], None]) -> None:
        """Notes who is told how far large deliveries are, one sentence each."""
        self._say = say

    def nodes(self) -> Sequence[int]:
        """Returns the SuperNodes that are connected."""
        return sorted(self._grid.get_node_ids())

    def deliver(self, messages: Mapping[int, bytes], seconds: float) -> list[Arrival]:
        """Pushes the messages and pulls replies until all are there or ``seconds`` are over."""
        from flwr.supercore.runtime import RuntimeHttpClient

        ending = time.monotonic() + seconds
        out = Transfer("sent to the clients:", self._say, sum(len(content) for content in messages.values()))
        back = Transfer("received from the clients:", self._say)
        with counting(RuntimeHttpClient, out.add, back.add):
            waiting = self._push(messages, seconds)
            out.end()
            arrivals = self._replies(waiting, ending)
        back.end()
        return arrivals

    def _push(self, messages: Mapping[int, bytes], seconds: float) -> dict[str, int]:
        """Sends the messages; returns each one's node by its name."""
        from flwr.app import Message, MessageType

        waiting: dict[str, int] = {}
        for node, content in messages.items():
            # One by one: only one message at a time is held twice.
            sent = Message(packed(content), node, MessageType.QUERY, ttl=seconds)
            for message_id in self._grid.push_messages([sent]):
                if message_id:
                    waiting[message_id] = node
        return waiting

    def _replies(self, waiting: dict[str, int], ending: float) -> list[Arrival]:
        """Returns the replies that come before ``ending``."""
        arrivals = []
        while waiting and time.monotonic() < ending:
            for reply in self._pull(list(waiting)):
                node_id = waiting.pop(reply.metadata.reply_to_message_id, None)
                if node_id is None:
                    continue
                if reply.has_error():
                    arrivals.append(Arrival(node_id, b"", f"its machine failed: {_reason(reply)}"))
                else:
                    arrivals.append(Arrival(node_id, unpacked(reply)))
            if waiting:
                time.sleep(POLL_SECONDS)
        return arrivals

    def _pull(self, waiting: list[str]) -> list[Message]:
        """Returns the replies that are there; a SuperLink that fails for a moment is asked again."""
        import httpx

        try:
            return list(self._grid.pull_messages(waiting))
        except httpx.HTTPError as error:
            _log.warning(
                "the SuperLink did not hand out replies (%s); asking again", " ".join(str(error).split())
            )
            return []


def _reason(reply: Message) -> str:
    reason = str(reply.error.reason or f"error {reply.error.code}")
    return " ".join(reason.split())[:300]

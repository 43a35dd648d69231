"""Where a channel's quantum keys come from: simulated links, or a key manager."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Drawn:
    """A key as both ends have it.

    Args:
        key_id: Its name.
        client: The client's copy.
        server: The server's copy.
        announced: Bytes that told one end which key the other has drawn.
    """

    key_id: str
    client: bytes
    server: bytes
    announced: int = 0


class KeySource(Protocol):
    """What a channel asks of a source of keys."""

    def begin_round(self, round_number: int) -> None:
        """Makes the links ready for a round, from 0.

        Raises:
            EavesdropperError: They give no key because someone listens.
        """

    def wait_for(self, needs: Mapping[int, int]) -> float:
        """Returns how many simulated seconds pass until every client's link holds its bits.

        Raises:
            ShortageError: Too little key, and the experiment says not to wait.
        """

    def draw(self, client: int, direction: str, bits: int, purpose: str, round_number: int) -> Drawn:
        """Returns a key of ``bits`` bits, recorded in the ledger.

        Args:
            client: The client.
            direction: ``upload`` or ``download``: the sender asks first.
            bits: Its length, a multiple of 8.
            purpose: What the ledger records.
            round_number: The round, from 0.

        Raises:
            ShortageError: As in :meth:`wait_for`.
        """

    def fill(self, clients: Iterable[int]) -> None:
        """Lets the time of a round's training pass."""

    def record(self) -> dict[str, Any]:
        """Returns what a line of ``rounds.jsonl`` says of the links."""

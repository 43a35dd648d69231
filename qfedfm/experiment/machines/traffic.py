"""How far a client's large messages are: its SuperNode counts, and the process that stays says it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

from qfedfm.federation.engines.flower.transfers import Transfer

TRANSFER = "transfer.json"


class Totals:
    """Bytes of messages since the start, in a file that another process reads.

    Args:
        folder: Where it lies.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / TRANSFER
        self._lock = threading.Lock()
        self._totals = {"sent": 0, "received": 0}
        self._add("sent", 0)

    def sent(self, count: int) -> None:
        """Adds what has gone."""
        self._add("sent", count)

    def received(self, count: int) -> None:
        """Adds what has come."""
        self._add("received", count)

    def _add(self, which: str, count: int) -> None:
        with self._lock:
            self._totals[which] += count
            part = self._path.with_suffix(".part")
            part.write_text(json.dumps(self._totals))
            part.replace(self._path)


def totals_in(folder: Path) -> tuple[int, int]:
    """Returns the bytes that a SuperNode has (sent, received); zeros where none was started."""
    try:
        found = json.loads((folder / TRANSFER).read_text())
        return int(found["sent"]), int(found["received"])
    except (OSError, ValueError, KeyError):
        return 0, 0


class Traffic:
    """Says how far large messages are.

    Args:
        folder: Where the SuperNode writes its totals.
        say: Told the sentences.
    """

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self._folder, self._say = folder, say
        self._lock = threading.Lock()
        self._sent, self._received = totals_in(folder)
        self._down = Transfer("received", say)
        self._up: Transfer | None = None

    def look(self) -> None:
        """Notes how many bytes have travelled since."""
        with self._lock:
            sent, received = self._totals()
            self._down.reach(received - self._received)
            if self._up is not None:
                self._up.reach(sent - self._sent)
                if self._up.complete:
                    self._up.end()
                    self._up = None

    def arrived(self, size: int) -> None:
        """Notes that a message of ``size`` bytes is here."""
        with self._lock:
            self._down.reach(size)
            self._down.end()
            self._down = Transfer("received", self._say)
            _, self._received = self._totals()

    def leaves(self, size: int) -> None:
        """Notes that a reply of ``size`` bytes is on its way."""
        with self._lock:
            self._up = Transfer("sent", self._say, size)
            self._sent, _ = self._totals()

    def _totals(self) -> tuple[int, int]:
        """Returns (sent, received); a SuperNode that was started again counts from 0."""
        sent, received = totals_in(self._folder)
        if sent < self._sent or received < self._received:
            self._sent = self._received = 0
        return sent, received

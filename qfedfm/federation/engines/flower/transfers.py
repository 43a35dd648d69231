"""What is said of large messages while they travel."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

LARGE = 20_000_000
"""Bytes; of less nothing is said."""
EVERY_SECONDS = 5.0


class Transfer:
    """One delivery: says how far it is, at most every five seconds, and once that it is done.

    Args:
        what: The first words of each sentence.
        say: Told the sentences.
        total: Bytes in all, or None where that is not known.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        what: str,
        say: Callable[[str], None],
        total: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what, self._say, self._total, self._clock = what, say, total, clock
        self._lock = threading.Lock()
        self._began = self._said = 0.0
        self._done = self._told = 0

    @property
    def complete(self) -> bool:
        """Whether all bytes have travelled; never where their number is not known."""
        return self._total is not None and self._done >= self._total

    def add(self, count: int) -> None:
        """Counts bytes that have travelled; any thread may."""
        with self._lock:
            self._note(self._done + count)

    def reach(self, done: int) -> None:
        """Notes how many bytes have travelled so far."""
        with self._lock:
            self._note(done)

    def _note(self, done: int) -> None:
        if not self._done:
            self._began = self._said = self._clock()
        self._done = max(done, self._done)
        if (self._total or self._done) < LARGE or self.complete:
            return
        if self._done > self._told and self._clock() - self._said >= EVERY_SECONDS:
            self._said, self._told = self._clock(), self._done
            of = f" of {self._total / 1e6:.0f}" if self._total is not None else ""
            self._say(f"{self._what} {self._done / 1e6:.0f}{of} MB ...")

    def end(self) -> None:
        """Says how much it was and how long it took."""
        size = self._done if self._total is None else min(self._done, self._total)
        if size >= LARGE:
            self._say(f"{self._what} {size / 1e6:.0f} MB in {self._clock() - self._began:.1f} s")


@contextlib.contextmanager
def counting(client: Any, sent: Callable[[int], None], received: Callable[[int], None]) -> Iterator[None]:
    """Counts the bytes of the pieces that one of Flower's HTTP clients pushes and pulls.

    Args:
        client: Its class, which has ``PushObject`` and ``PullObject``.
        sent: Told the bytes of each piece that was pushed.
        received: Told the bytes of each piece that was pulled.
    """
    push, pull = client.PushObject, client.PullObject

    def pushing(self: Any, request: Any) -> Any:
        response = push(self, request)
        sent(len(request.object_content))
        return response

    def pulling(self: Any, request: Any) -> Any:
        response = pull(self, request)
        received(len(response.object_content))
        return response

    client.PushObject, client.PullObject = pushing, pulling
    try:
        yield
    finally:
        client.PushObject, client.PullObject = push, pull

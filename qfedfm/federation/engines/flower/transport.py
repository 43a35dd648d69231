"""Who carries bytes to a client's machine and its answer back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Arrival:
    """What came back.

    Args:
        node: From which machine.
        content: The bytes; empty where there is an ``error``.
        error: Why there is no content, in one sentence.
    """

    node: int
    content: bytes
    error: str = ""


class Transport(Protocol):
    """Delivers messages to machines. A reply may be late, doubled, or missing."""

    @property
    def owners(self) -> Mapping[int, int]:
        """Per machine, the client that its key stands for; empty where keys are not checked."""

    def nodes(self) -> Sequence[int]:
        """Returns the machines that are connected now."""

    def deliver(self, messages: Mapping[int, bytes], seconds: float) -> list[Arrival]:
        """Sends a message to each machine; returns what came back, at the latest after ``seconds``."""

    def tell(self, say: Callable[[str], None]) -> None:
        """Notes who is told how far large deliveries are, one sentence each."""


class Loopback:
    """Machines in this process, for rehearsals and tests.

    Args:
        answers: Per machine, the function from a message to its reply.
        owners: Per machine, the client that its key stands for; empty where keys are not checked.
    """

    def __init__(
        self, answers: Mapping[int, Callable[[bytes], bytes]], owners: Mapping[int, int] | None = None
    ) -> None:
        self.answers = dict(answers)
        self.owners = dict(owners or {})

    def nodes(self) -> Sequence[int]:
        """Returns all machines."""
        return sorted(self.answers)

    def deliver(self, messages: Mapping[int, bytes], seconds: float) -> list[Arrival]:
        """Calls one machine after the other; the time is not limited."""
        return [
            Arrival(node, self.answers[node](message))
            for node, message in messages.items()
            if node in self.answers
        ]

    def tell(self, say: Callable[[str], None]) -> None:
        """Does nothing: deliveries within a process take no time."""

"""Where clients are trained. An engine is the only part of a round with effects."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from qfedfm.core.errors import UpdateRefusedError
from qfedfm.core.metrics import Metrics
from qfedfm.core.random import Streams
from qfedfm.core.tensors import Layout
from qfedfm.core.update import Update

if TYPE_CHECKING:
    from qfedfm.federation.faults import Faults
    from qfedfm.federation.messages import Broadcast
    from qfedfm.federation.plan import Plan
    from qfedfm.security.summation import Job, SumServer
    from qfedfm.security.summation.protocol import Message

FORMAT = "qfedfm-offer-1"


class Engine(Protocol):
    """What a round asks of an engine."""

    @property
    def sizes(self) -> np.ndarray:
        """Training examples per client, shape (N,)."""

    @property
    def class_counts(self) -> np.ndarray:
        """Training examples of each class per client, shape (N, C), as clients disclose them."""

    @property
    def layout(self) -> Layout:
        """What is trained and travels."""

    def train(
        self, plan: Plan, broadcast: Broadcast, cohort: Sequence[int], faults: Faults, rng: Streams
    ) -> list[Update]:
        """Returns the replies of the clients of ``cohort`` that reply, stages applied."""


@dataclass(frozen=True)
class Offer:
    """What the server sees of a client before a sum: that it has an update, and its weight.

    Args:
        client: The client's number.
        round: The round it was trained in.
        examples: How many training examples the client holds.
        schema: The hash of the layout that the client believes it answers to.
        refused: Why the client does not offer its update after all, in its own words; empty if it does.
    """

    client: int
    round: int
    examples: int
    schema: str
    refused: str = ""

    def to_bytes(self) -> bytes:
        """Returns the message."""
        return json.dumps([FORMAT, *dataclasses.astuple(self)]).encode()

    @staticmethod
    def from_bytes(message: bytes) -> Offer:
        """Parses a message.

        Raises:
            UpdateRefusedError: It is none.
        """
        try:
            form, client, number, examples, schema, refused = json.loads(message)
        except (ValueError, TypeError) as error:
            raise UpdateRefusedError(f"the message is not an offer: {error}") from error
        whole = all(isinstance(value, int) and value >= 0 for value in (client, number, examples))
        if form != FORMAT or not whole or not isinstance(schema, str) or not isinstance(refused, str):
            raise UpdateRefusedError(f"the message is not an offer of format {FORMAT}")
        return Offer(client, number, examples, schema, refused)


@dataclass(frozen=True)
class Audit:
    """What only an experimenter knows of a sum: in a simulation every client's numbers are at hand.

    Args:
        metrics: What the clients in the sum measured.
        mean: Their true weighted mean, float64, shape (d,).
        clipped: Numbers that clients had to clip.
    """

    metrics: Metrics
    mean: np.ndarray
    clipped: int


@runtime_checkable
class RemoteEngine(Protocol):
    """What an engine says besides, whose clients may fail, and lie, in ways that nobody simulates."""

    def refused(self) -> list[tuple[int, str]]:
        """Returns ``(client, reason)`` of what was refused before it was an update, or did not come."""

    @property
    def broadcast_bytes(self) -> int:
        """Bytes of the round's broadcasts, as they were sent."""


class SumEngine(Engine, Protocol):
    """An engine whose clients keep their updates and take part in a sum protocol.

    A round calls ``offers``, ``begin``, then ``exchange`` for each phase.
    """

    def offers(
        self, plan: Plan, broadcast: Broadcast, cohort: Sequence[int], faults: Faults, rng: Streams
    ) -> list[Offer]:
        """Trains as ``train`` does, but the updates stay with the clients; returns who has one."""

    def begin(self, job: Job) -> SumServer:
        """Tells the clients of ``job`` what will be summed; returns the server's end."""

    def exchange(self, phase: str, messages: Mapping[int, Message]) -> Mapping[int, Message]:
        """Delivers the server's messages of ``phase``; returns the replies of those who answer."""

    def audit(self, clients: Sequence[int]) -> Audit | None:
        """Returns the truth about the sum over ``clients``, or null where nobody can know it."""

    def record(self, round_number: int) -> dict[str, Any]:
        """Returns what is recorded of the round, from 0.

        ``left`` says per client that vanished from which phase on it was silent; the rest is the protocol's:
        keys, waiting, levels.
        """

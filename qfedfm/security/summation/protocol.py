"""What a sum protocol is, for those who write one.

A protocol is a frozen configuration (``kind`` and options, one file a protocol) that says what it promises
and opens a :class:`Summation`: what lives longer than a round (identities, key stores, simulated hardware).
Each round has one :class:`Job`, which everybody knows, and two kinds of ends, which talk only through
messages::

    server = summation.server(job)
    for phase in protocol.phases:
        replies = exchange(phase, server.ask(phase))  # the engine delivers; who is gone does not answer
        server.take(phase, replies)
    total = server.result()

:func:`run_sum` is that loop, with every byte counted. What an implementation owes:

- **Ends are separate.** A client's end never reads the server's or another client's memory: all that it
  learns arrives in a message (or from a key store that stands for a key manager in its own building). So the
  same ends serve every engine.
- **A client may vanish in any phase** and then answers in none that follow. ``take`` is given what came. If
  what is left is too little, it raises :class:`SumAbortedError`, and nothing that was sent may then let the
  server compute the sum, or anything narrower.
- **Weights are public**: ``job.weights`` adds up to 1 over ``job.clients``. A client contributes
  ``w_k x_k``; the result is ``Σ w_k x_k`` over those who are in it with ``Σ w_k`` as its weight, so that
  their quotient is the mean whoever is missing.
- **A client checks its own numbers** (:func:`contribution`): nobody else can. Numbers outside ``±bound`` are
  clipped and counted in ``notes``; NaN and infinities are refused there.
- **Randomness**: ``Streams`` for what is simulated (rounding, shots, loss, noise); ``secrets`` or
  ``os.urandom`` for every key. ``check`` refuses options that cannot work before anything runs.

**Protocols whose messages are quantum states** (a phase sum on GHZ states, a QFT sum) reply with
:class:`Angles` instead of bytes: the vector of phases that the client would turn its qubits by. An engine
carries it like any message and counts no bytes for it. It stands for what cannot be read: the server's end
hands all :class:`Angles` of a phase to its simulated hardware at once and keeps the outcomes only; its
estimate of the sum, with lost states and noise, is what :class:`Sum` holds, and :class:`Cost` says what it
took in qubits, states, shots and circuits. Such a protocol is ``exact = False`` and says its error in
``Promise.exactness``. Test rounds against a lying server are phases of their own, before the one that counts.

Shapes: d = numbers of an update, K = clients of a job.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from qfedfm.core.config import Config
from qfedfm.core.errors import RunError, UpdateRefusedError
from qfedfm.core.random import Streams

Reveals = Literal["individuals", "sum"]


@dataclass(frozen=True)
class Angles:
    """A message of quantum states, as the phases that were written on them.

    Args:
        radians: Shape (..., d); leading axes are the protocol's (levels of a phase estimation, for example).
    """

    radians: NDArray[np.float64]


Message = bytes | Angles
Exchange = Callable[[str, Mapping[int, Message]], Mapping[int, Message]]
"""Delivers, in a phase, the server's message to each client and returns the replies of those who answer."""


@dataclass(frozen=True)
class Job:
    """One sum, as all parties know it before it begins.

    Args:
        round: The round, from 0. A (pair, round) has one key, ever.
        clients: Who takes part, ascending.
        weights: Per client w_k > 0, adding up to 1.
        size: d.
        schema: The hash of the layout, so that all add the same tensors.
        asked: How many clients were asked for an update, those who never answered included; 0 counts as all
            that take part. A threshold is a part of these.
    """

    round: int
    clients: tuple[int, ...]
    weights: Mapping[int, float]
    size: int
    schema: str = ""
    asked: int = 0

    def needed(self, part: float) -> int:
        """Returns how many clients must be left where ``part`` of those asked must be; at least 2."""
        return needed(part, max(self.asked, len(self.clients)))


def needed(part: float, of: int) -> int:
    """Returns ⌈part · of⌉, at least 2; a product that is whole up to rounding is that number."""
    return max(2, math.ceil(round(part * of, 9)))


@dataclass(frozen=True)
class Cost:
    """What a sum took, all clients together.

    Args:
        bytes_up: Per phase, what clients sent.
        bytes_down: Per phase, what the server sent.
        key_bits: Bits of QKD or pre-shared key that were used up, each counted once a pair.
        qubits: Of the widest circuit.
        states: Entangled states that were prepared and sent.
        shots: Measured states (repetitions of a circuit), lost ones not counted.
        circuits: Different circuits.
    """

    bytes_up: Mapping[str, int] = field(default_factory=dict)
    bytes_down: Mapping[str, int] = field(default_factory=dict)
    key_bits: int = 0
    qubits: int = 0
    states: int = 0
    shots: int = 0
    circuits: int = 0

    @property
    def upload_bytes(self) -> int:
        """All bytes that clients sent."""
        return sum(self.bytes_up.values())

    @property
    def download_bytes(self) -> int:
        """All bytes that the server sent."""
        return sum(self.bytes_down.values())

    def plain(self) -> dict[str, Any]:
        """Returns JSON-ready builtins; quantum figures only where there are any."""
        found = {name: value for name, value in asdict(self).items() if value or name == "key_bits"}
        return {**found, "bytes_up": dict(self.bytes_up), "bytes_down": dict(self.bytes_down)}


class SumAbortedError(RunError):
    """The round's sum cannot be had; the server learnt nothing of any update.

    Attributes:
        cost: What was spent until then.
    """

    cost: Cost = Cost()


@dataclass(frozen=True)
class Sum:
    """What the server holds in the end.

    Args:
        clients: Who is in it, ascending.
        total: ``Σ w_k x_k`` over them, shape (d,); an estimate where the protocol is not exact.
        weight: ``Σ w_k`` over them.
        cost: What it took; :func:`run_sum` fills in the bytes.
        notes: What else the server saw and should record (lost states, failed tests, ...), JSON-ready.
    """

    clients: tuple[int, ...]
    total: NDArray[np.float64]
    weight: float
    cost: Cost = field(default_factory=Cost)
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def mean(self) -> NDArray[np.float64]:
        """The weighted mean of those who are in it, shape (d,)."""
        return self.total / self.weight


@dataclass(frozen=True)
class Promise:
    """A protocol's threat model, in words that stand beside its numbers.

    Args:
        hides_from: From whom an update is hidden, and what it rests on.
        malicious_server: What a server that does not follow the protocol can do.
        trusted: Who is trusted with what.
        server_sees: What an honest server sees of the clients' numbers.
        exactness: How far the result is from the true sum.
    """

    hides_from: str
    malicious_server: str
    trusted: str
    server_sees: str
    exactness: str


class SumClient(ABC):
    """One client's end of one job."""

    @abstractmethod
    def reply(self, phase: str, message: Message) -> Message:
        """Returns the answer to the server's ``message`` of ``phase``.

        Raises:
            SumAbortedError: The message asks for what this client must not tell.
        """

    @property
    def notes(self) -> Mapping[str, int]:
        """Counts that an experimenter may record and the server does not see, ``clipped`` above all."""
        return {}


class SumServer(ABC):
    """The server's end of one job."""

    @abstractmethod
    def ask(self, phase: str) -> Mapping[int, Message]:
        """Returns the message to each client that has answered so far; ``b""`` to say nothing."""

    @abstractmethod
    def take(self, phase: str, replies: Mapping[int, Message]) -> None:
        """Accepts the replies of ``phase``; clients that are missing are gone for good.

        Raises:
            SumAbortedError: Too few are left, or a reply is not what the protocol says.
        """

    @abstractmethod
    def result(self) -> Sum:
        """Returns the sum after the last phase."""


class Summation(ABC):
    """A protocol in use by one federation."""

    @abstractmethod
    def server(self, job: Job) -> SumServer:
        """Returns the server's end of ``job``."""

    @abstractmethod
    def client(self, job: Job, client: int, update: NDArray[np.float32] | None) -> SumClient:
        """Returns one client's end.

        Args:
            job: The sum.
            client: Whose end.
            update: x_k, shape (d,); None for a client that is there when the job begins and vanishes
                before it contributes.

        Raises:
            UpdateRefusedError: The update holds NaN or an infinity.
        """

    def record(self, round_number: int) -> dict[str, Any]:
        """Returns what ``rounds.jsonl`` keeps of the round beside the sum's cost: all that resuming needs."""
        return {}

    def close(self) -> None:  # noqa: B027 - most protocols hold nothing
        """Gives back what was opened."""


class SumProtocol(Config):
    """The options of a protocol, and what it promises.

    Attributes:
        reveals: What the server sees: only their sum, or each update.
        exact: Whether the result is the sum of the numbers as clients encoded them, without error.
        sum_phases: Names of the phases, in order.
        contributes: The phase whose reply carries the update: a client that vanishes before it is not in
            the sum, one that vanishes later is.
    """

    kind: str

    reveals: ClassVar[Reveals] = "sum"
    exact: ClassVar[bool] = True
    sum_phases: ClassVar[tuple[str, ...]] = ()
    contributes: ClassVar[str] = ""

    @property
    def phases(self) -> tuple[str, ...]:
        """The phases that these options need, in order."""
        return self.sum_phases

    @property
    def promise(self) -> Promise:
        """The threat model of these options."""
        raise NotImplementedError

    def check(self, clients: int) -> None:
        """Refuses options that cannot work for so many clients a round; called when the plan is built.

        Raises:
            RequestError: Which key, and what would be right.
        """

    def open(self, streams: Streams, last: Mapping[str, Any] | None = None) -> Summation:
        """Returns the protocol in use.

        Args:
            streams: Randomness of what is simulated.
            last: What :meth:`Summation.record` gave in the last round before the run was interrupted.
        """
        raise NotImplementedError


def contribution(update: NDArray[np.float32], weight: float, bound: float) -> tuple[NDArray[np.float64], int]:
    """Returns ``w_k · clip(x_k, ±bound)``, shape (d,), and how many numbers were clipped.

    Raises:
        UpdateRefusedError: A number is not finite.
    """
    check_finite(update)
    outside = int(np.count_nonzero(np.abs(update) > bound))
    return weight * np.clip(update, -bound, bound).astype(np.float64), outside


def check_finite(update: NDArray[np.float32]) -> None:
    """Raises UpdateRefusedError where a number of the update is NaN or infinite."""
    if not np.isfinite(update).all():
        what = "NaN" if np.isnan(update).any() else "an infinity"
        raise UpdateRefusedError(f"its own update holds {what}")


def run_sum(protocol: SumProtocol, server: SumServer, exchange: Exchange) -> Sum:
    """Runs all phases and returns the sum, with the bytes of every phase in its cost.

    Raises:
        SumAbortedError: Too few clients were left in some phase.
    """
    up: dict[str, int] = {}
    down: dict[str, int] = {}
    try:
        for phase in protocol.phases:
            asked = server.ask(phase)
            replies = exchange(phase, asked)
            down[phase], up[phase] = _bytes(asked), _bytes(replies)
            server.take(phase, replies)
        found = server.result()
    except SumAbortedError as error:
        error.cost = Cost(up, down)
        raise
    cost = Cost(**{**asdict(found.cost), "bytes_up": up, "bytes_down": down})
    return Sum(found.clients, found.total, found.weight, cost, found.notes)


def _bytes(messages: Mapping[int, Message]) -> int:
    return sum(len(message) for message in messages.values() if isinstance(message, bytes))

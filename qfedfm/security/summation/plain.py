"""No protection: each client sends its update as it is, float32, and the server weighs and adds.

The baseline of every comparison. In an experiment file it is the default, and the round then takes whole
updates (:mod:`qfedfm.federation.round`), so that any rule works; here it has the form of the other protocols.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from qfedfm.core.random import Streams
from qfedfm.security.summation.protocol import (
    Job,
    Message,
    Promise,
    Reveals,
    Sum,
    SumAbortedError,
    SumClient,
    Summation,
    SumProtocol,
    SumServer,
    check_finite,
)


class Plain(SumProtocol):
    """The server sees everything."""

    kind: Literal["plain"] = "plain"

    reveals: ClassVar[Reveals] = "individuals"
    sum_phases: ClassVar[tuple[str, ...]] = ("inputs",)
    contributes: ClassVar[str] = "inputs"

    @property
    def promise(self) -> Promise:
        """Nothing is hidden."""
        return Promise(
            hides_from="nobody",
            malicious_server="reads every update",
            trusted="the server, with every update",
            server_sees="every update",
            exactness="float32 updates, added in float64",
        )

    def open(self, streams: Streams, last: Mapping[str, Any] | None = None) -> Summation:
        """Returns the protocol in use."""
        return _PlainSummation()


class _PlainSummation(Summation):
    def server(self, job: Job) -> SumServer:
        return _Server(job)

    def client(self, job: Job, client: int, update: NDArray[np.float32] | None) -> SumClient:
        return _Client(update)


class _Client(SumClient):
    def __init__(self, update: NDArray[np.float32] | None) -> None:
        if update is not None:
            check_finite(update)
        self._update = update

    def reply(self, phase: str, message: Message) -> Message:
        assert self._update is not None
        return self._update.astype("<f4").tobytes()


class _Server(SumServer):
    def __init__(self, job: Job) -> None:
        self._job = job
        self._total = np.zeros(job.size)
        self._clients: tuple[int, ...] = ()

    def ask(self, phase: str) -> Mapping[int, Message]:
        return dict.fromkeys(self._job.clients, b"")

    def take(self, phase: str, replies: Mapping[int, Message]) -> None:
        if not replies:
            raise SumAbortedError("no client sent an update")
        self._clients = tuple(sorted(replies))
        for client in self._clients:
            message = replies[client]
            assert isinstance(message, bytes)
            if len(message) != 4 * self._job.size:
                raise SumAbortedError(
                    f"client {client} sent {len(message)} bytes for {self._job.size} numbers"
                )
            self._total += self._job.weights[client] * np.frombuffer(message, "<f4")

    def result(self) -> Sum:
        weight = sum(self._job.weights[client] for client in self._clients)
        return Sum(self._clients, self._total, weight)

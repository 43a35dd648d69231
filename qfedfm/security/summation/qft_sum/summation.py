"""The ends of a QFT sum, with the server's simulated hardware.

Shapes: d = numbers of an update.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qfedfm.core.random import Streams
from qfedfm.security.summation.protocol import (
    Cost,
    Job,
    Message,
    Sum,
    SumAbortedError,
    SumClient,
    Summation,
    SumServer,
    contribution,
)
from qfedfm.security.summation.turning import TurningClient, collected

if TYPE_CHECKING:
    from qfedfm.security.summation.qft_sum.config import QftSum


class QftSummation(Summation):
    """The protocol in use."""

    def __init__(self, options: QftSum, streams: Streams) -> None:
        self._options = options
        self._streams = streams

    def server(self, job: Job) -> SumServer:
        """Returns the server's end."""
        if len(job.clients) < 2:
            raise SumAbortedError(f"{len(job.clients)} client is there, and its sum would be its update")
        return _Server(self._options, job, self._streams.at("round", job.round))

    def client(self, job: Job, client: int, update: NDArray[np.float32] | None) -> SumClient:
        """Returns a client's end; its numbers are rounded to integers here."""
        if update is None:
            return TurningClient(None, 0)
        options = self._options
        numbers, outside = contribution(update, job.weights[client], options.bound)
        numbers *= options.levels(len(job.clients)) / options.bound
        rounded = np.floor(numbers + self._streams("rounding", job.round, client).random(len(numbers)))
        return TurningClient(rounded * (2.0 * np.pi / 2**options.bits), outside)


class _Server(SumServer):
    def __init__(self, options: QftSum, job: Job, streams: Streams) -> None:
        self._options = options
        self._job = job
        self._streams = streams
        self._there = job.clients
        self._angles: dict[int, NDArray[np.float64]] = {}
        self._wasted = 0

    def ask(self, phase: str) -> Mapping[int, Message]:
        return dict.fromkeys(self._there, b"")

    def take(self, phase: str, replies: Mapping[int, Message]) -> None:
        if phase == "turns":
            self._angles |= collected(self._job, replies, "states")
            if len(replies) < len(self._there):  # registers that a client kept are sent again without it
                self._wasted = self._job.size
        self._there = tuple(sorted(replies))
        if len(self._there) < 2:
            raise SumAbortedError(f"{len(self._there)} client is left, and its sum would be its update")

    def result(self) -> Sum:
        options, job, who = self._options, self._job, self._there
        unit = 2**options.bits / (2.0 * np.pi)
        numbers = np.rint(np.stack([self._angles[k] for k in who]) * unit).astype(np.int64)
        if options.executor == "formula":
            residues = numbers.sum(axis=0) % 2**options.bits
        else:
            from qfedfm.security.summation.qft_sum.circuit import measured_sums

            generator = self._streams.torch("circuit")
            residues = measured_sums(numbers, options.bits, options.executor, generator)
        signed = np.where(residues >= 2 ** (options.bits - 1), residues - 2**options.bits, residues)
        chance, lost = options.arrival(len(who)), 0
        if chance < 1.0:
            lost = int(self._streams("lost").negative_binomial(job.size, chance))
        cost = Cost(
            qubits=2 * options.bits, states=job.size + lost + self._wasted, shots=job.size, circuits=1
        )
        notes: dict[str, Any] = {"lost_states": lost} if lost else {}
        if self._wasted:
            notes["wasted_states"] = self._wasted
        total = signed * (options.bound / options.levels(len(job.clients)))
        return Sum(who, total, sum(job.weights[k] for k in who), cost, notes)

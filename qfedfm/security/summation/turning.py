"""What sums on quantum states share: clients that turn qubits, the server that collects their angles."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from qfedfm.security.summation.protocol import Angles, Job, Message, SumAbortedError, SumClient

Turns = NDArray[np.float64]


class TurningClient(SumClient):
    """A client that answers the phase ``turns`` with its angles, and every other with nothing.

    Args:
        angles: Radians, shape (d,); None for a client that will have vanished by then.
        clipped: How many of its numbers were out of range.
    """

    def __init__(self, angles: Turns | None, clipped: int) -> None:
        self._angles = angles
        self._clipped = clipped

    @property
    def notes(self) -> Mapping[str, int]:
        """What the client counted."""
        return {"clipped": self._clipped}

    def reply(self, phase: str, message: Message) -> Message:
        """Returns the angles where they are asked for."""
        if phase != "turns":
            return b""
        assert self._angles is not None, "a client without numbers vanishes before it turns its qubits"
        return Angles(self._angles)


def collected(job: Job, replies: Mapping[int, Message], what: str) -> dict[int, Turns]:
    """Returns the angles of each client that answered.

    Args:
        job: The sum.
        replies: The answers of the phase ``turns``.
        what: What a client turns, as an error names it.

    Raises:
        SumAbortedError: A client turned another number of them than the job has.
    """
    found: dict[int, Turns] = {}
    for client, message in replies.items():
        assert isinstance(message, Angles)
        if message.radians.shape != (job.size,):
            raise SumAbortedError(
                f"client {client} turned {message.radians.shape} {what} for {job.size} numbers"
            )
        found[client] = message.radians
    return found

"""One training step on hardware is one job: values and gradient points of all samples of all clients.

The value of each sample and the points that its gradient needs are evaluated in the forward pass, in the same
job; the backward pass only combines them. ``spsa`` (Spall, 1992) needs two more points a sample, whatever the
number of angles; ``exact`` two for each angle (parameter shift). Equal samples are evaluated once.

M = different rows of angles, a = angles (columns), s = Pauli strings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from qfedfm.circuits import Circuit
from qfedfm.core.errors import RequestError
from qfedfm.quantum.ibm.book import JobBook, job_key
from qfedfm.quantum.pauli_strings import AngleColumns, Strings

Floats = npt.NDArray[np.float64]
#: How far SPSA moves every angle, radians. With shots a small step drowns in their noise.
STEP = 0.3


@dataclass(frozen=True)
class Answer:
    """Values of the Pauli strings, shape (points, s), and the seconds charged, where the platform says."""

    values: Floats
    seconds: float | None


class Device(Protocol):
    """What runs a circuit's points as one job."""

    @property
    def name(self) -> str:
        """The executor's name."""

    @property
    def shots(self) -> int:
        """Of each circuit."""

    @property
    def strings(self) -> Strings:
        """What is measured."""

    @property
    def columns(self) -> AngleColumns:
        """Evaluates the angles."""

    def seconds(self, points: int) -> float:
        """Returns the estimate of a job's time on the processor."""

    def run(self, angles: Any, key: str) -> Answer:
        """Runs one job for angles (points, a); the key names it and seeds what is random in it."""


def in_loop(
    device: Device, circuit: Circuit, inputs: Tensor, weights: Tensor, book: JobBook | None, gradient: str
) -> Tensor:
    """Returns ``(K, B, observables)`` for inputs ``(K, B, n)`` and weights ``(K, m)``, by one job.

    Args:
        device: Where.
        circuit: What.
        inputs: Radians.
        weights: Radians.
        book: The run's; None for a call outside a run.
        gradient: ``spsa`` or ``exact``.
    """
    if circuit.amplitudes:
        raise RequestError(
            f"circuit {circuit.name} takes amplitudes; hardware needs a circuit whose inputs are angles"
        )
    angles = device.columns(inputs, weights)
    values = _Step.apply(angles, device, circuit.hash, book, gradient)  # type: ignore[no-untyped-call]
    out = device.strings.combine(values)
    return out.reshape(*inputs.shape[:2], -1).to(inputs.device, inputs.dtype)


class _Step(torch.autograd.Function):
    """Values (rows, s) of angles (rows, a), with what their gradient needs."""

    @staticmethod
    def forward(
        ctx: Any, angles: Tensor, device: Device, circuit: str, book: JobBook | None, gradient: str
    ) -> Tensor:
        given = angles.detach().numpy()
        if given.shape[1]:
            rows, back = np.unique(given, axis=0, return_inverse=True)
        else:
            rows, back = given[:1], np.zeros(len(given), dtype=np.intp)
        back = back.reshape(-1)
        wanted = ctx.needs_input_grad[0]
        key = job_key(device.name, circuit, device.shots, gradient if wanted else "none", rows.tobytes())
        points = [rows]
        moves = np.zeros((0, *rows.shape))
        if wanted:
            moves = _moves(rows.shape, gradient, key)
            points += [rows + sign * move for move in moves for sign in (1.0, -1.0)]
        stacked = np.concatenate(points)

        def run() -> tuple[Floats, float | None]:
            answer = device.run(stacked, key)
            return answer.values, answer.seconds

        if book is None:
            values = run()[0]
        else:
            values = book.job(key, device.name, len(stacked), device.seconds(len(stacked)), run)
        blocks = values.reshape(len(points), len(rows), -1)
        ctx.saved = (torch.from_numpy(moves), torch.from_numpy(blocks[1:].copy()), back, gradient)
        return torch.from_numpy(blocks[0][back])

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None, None, None]:
        moves, blocks, back, gradient = ctx.saved
        # Each angle's derivative of each string, contracted with what arrives: (moves, rows).
        differences = (blocks[0::2] - blocks[1::2])[:, back]
        slopes = (differences * upstream).sum(-1)
        if gradient == "spsa":
            return slopes[0].unsqueeze(-1) / (2 * STEP**2) * moves[0][back], None, None, None, None
        return slopes.T / 2, None, None, None, None


def _moves(shape: tuple[int, ...], gradient: str, key: str) -> Floats:
    """Returns how the angles move, each to both sides: (1, M, a) for SPSA, (a, M, a) for parameter shifts."""
    rows, columns = shape
    if gradient == "spsa":
        corners = np.random.default_rng(int(key[:16], 16)).choice([-1.0, 1.0], (1, rows, columns))
        return np.asarray(STEP * corners)
    return np.repeat(math.pi / 2 * np.eye(columns)[:, None, :], rows, axis=1)

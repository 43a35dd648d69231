"""Executor ``ibm:<backend>``: jobs through the client-side Sampler of IBM's runtime.

A fake backend runs in the runtime's local mode. A real one runs only within a run's budget
(``model.head.hardware``), and each job is found by its tag if an earlier process submitted it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from qfedfm.circuits import Circuit
from qfedfm.core.errors import RequestError
from qfedfm.quantum.ibm.account import connect
from qfedfm.quantum.ibm.backends import find_backend, is_fake
from qfedfm.quantum.ibm.book import JobBook, active_book
from qfedfm.quantum.ibm.calibration import take_calibration
from qfedfm.quantum.ibm.counts import Distribution
from qfedfm.quantum.ibm.estimating import duration, seconds
from qfedfm.quantum.ibm.loop import Answer, in_loop
from qfedfm.quantum.ibm.options import JobOptions
from qfedfm.quantum.ibm.program import compile_program
from qfedfm.quantum.ibm.running import sample
from qfedfm.quantum.ibm.values import string_values
from qfedfm.quantum.noise import Noise


class IbmDevice:
    """A backend for training in the loop; see :class:`qfedfm.quantum.ibm.loop.Device`."""

    def __init__(self, circuit: Circuit, backend_name: str, shots: int) -> None:
        self.name, self.shots = f"ibm:{backend_name}", shots
        self._service = None if is_fake(backend_name) else connect()
        self._backend = find_backend(backend_name, self._service)
        self._program = compile_program(circuit, self._backend, JobOptions(shots=shots))
        self.strings, self.columns = self._program.strings, self._program.columns
        circuits = [part.circuit for part in self._program.parts]
        self._calibration = take_calibration(self._backend, circuits)
        self._longest = max(duration(one, self._calibration) for one in circuits)

    def seconds(self, points: int) -> float:
        """Returns the estimate of a job's time on the processor."""
        executions = self._program.runs(points) * self.shots
        return seconds(executions, self._calibration.rep_delay, self._longest)

    def run(self, angles: Any, key: str) -> Answer:
        """Runs one job and waits for it."""
        options = JobOptions(shots=self.shots, seed=int(key[:7], 16))
        charged = None
        if self._service is None:
            counts = sample(self._backend, self._program, angles, options)
        else:
            from qfedfm.quantum.ibm.platform import run_now

            book = active_book()
            assert book is not None
            counts, charged = run_now(
                book,
                self._service,
                self._backend,
                self._program,
                angles,
                options,
                key,
                self.seconds(len(angles)),
            )
        found = [[Distribution.of_counts(one) for one in rows] for rows in counts]
        return Answer(string_values(self._program.parts, found, self.strings, len(angles)), charged)


@lru_cache(maxsize=8)
def device(circuit: Circuit, backend_name: str, shots: int) -> IbmDevice:
    """Returns the device with the transpiled circuit; recent ones are kept."""
    return IbmDevice(circuit, backend_name, shots)


def run(
    circuit: Circuit,
    inputs: Tensor,
    weights: Tensor,
    name: str,
    noise: Noise,
    shots: int | None,
    generator: torch.Generator | None,
    gradient: str,
) -> Tensor:
    """Returns ``(K, B, observables)`` for inputs ``(K, B, n)`` and weights ``(K, m)``."""
    if noise != Noise():
        raise RequestError(f"ibm:{name} has the noise of its device: give no other")
    if shots is None:
        raise RequestError(f"ibm:{name} measures: give shots (exact values of a fake backend: aer:{name})")
    book: JobBook | None = active_book()
    if book is None and not is_fake(name):
        raise RequestError(
            f"ibm:{name} costs time on a processor, so it runs within a budget: train with "
            "model.head.hardware, or submit a job with qfedfm ibm submit"
        )
    return in_loop(device(circuit, name, shots), circuit, inputs, weights, book, gradient)

"""The book of a training run on hardware: every job once, within a budget, and none paid for twice.

A job's key is the hash of all it depends on (circuit, angles, shots, executor), and its seed is part of the
key, so a run that was cut between or within jobs replays its steps from the book: what has an answer costs
nothing. Each answer is one file, placed in one step.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from contextvars import ContextVar, Token
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from qfedfm.core.errors import RunError
from qfedfm.core.files import write_atomic
from qfedfm.quantum.ibm.options import HardwareOptions

Floats = npt.NDArray[np.float64]
_log = logging.getLogger(__name__)


class BudgetSpentError(RunError):
    """The next job would exceed the budget; the run can be resumed with a larger one."""

    exit_code = 130


class JobBook:
    """Answers of jobs in a folder, and what they cost.

    Args:
        folder: One file a job.
        options: The budget, and how jobs are run.
    """

    def __init__(self, folder: Path, options: HardwareOptions) -> None:
        self.folder, self.options = folder, options
        self.session: Any = None
        self._token: Token[JobBook | None] | None = None
        self._jobs, self._seconds, self._estimated = 0, 0.0, False
        for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
            self._count(json.loads(path.read_text(encoding="utf-8")))

    def __enter__(self) -> Self:
        """Makes it the book of what runs in this context."""
        self._token = _ACTIVE.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the session, if one was opened."""
        assert self._token is not None
        _ACTIVE.reset(self._token)
        if self.session is not None:
            self.session.close()

    def _count(self, entry: dict[str, Any]) -> None:
        self._jobs += 1
        self._seconds += entry["seconds"]
        self._estimated |= entry["seconds_are_estimated"]

    @property
    def left(self) -> float:
        """The seconds that the budget has left."""
        return max(0.0, self.options.max_seconds - self._seconds)

    def used(self) -> dict[str, Any]:
        """Returns ``hardware_jobs``, ``hardware_seconds`` and whether the seconds are estimates."""
        return {
            "hardware_jobs": self._jobs,
            "hardware_seconds": self._seconds,
            "hardware_seconds_are_estimated": self._estimated,
        }

    def job(
        self,
        key: str,
        executor: str,
        points: int,
        seconds: float,
        run: Callable[[], tuple[Floats, float | None]],
    ) -> Floats:
        """Returns a job's answer, from the book or by running it.

        Args:
            key: The hash of what it depends on.
            executor: Where it runs.
            points: How many points of the circuit it evaluates.
            seconds: The estimate of its time on the processor.
            run: Runs it; returns the values and the time that the platform says, None where it says none.

        Raises:
            BudgetSpentError: It would exceed the budget; nothing was run.
        """
        path = self.folder / f"{key[:32]}.json"
        if path.is_file():
            values = json.loads(path.read_text(encoding="utf-8"))["values"]
            return np.array(values, dtype=np.float64).reshape(points, -1)
        limit = self.options
        if self._jobs + 1 > limit.max_jobs or self._seconds + seconds > limit.max_seconds:
            raise BudgetSpentError(
                f"the budget is spent: {self._jobs} of {limit.max_jobs} jobs, {self._seconds:.1f} of "
                f"{limit.max_seconds:g} s, and the next job is estimated at {seconds:.1f} s; what was done "
                "is kept: raise model.head.hardware.max_jobs or max_seconds and continue with --resume"
            )
        values, measured = run()
        entry = {
            "number": self._jobs,
            "executor": executor,
            "points": points,
            "shots": limit.shots,
            "seconds": seconds if measured is None else measured,
            "seconds_are_estimated": measured is None,
            "values": values.tolist(),
        }
        write_atomic(path, json.dumps(entry, allow_nan=False))
        self._count(entry)
        _log.debug("job %d on %s: %d points", self._jobs, executor, points)
        return values


_ACTIVE: ContextVar[JobBook | None] = ContextVar("job_book", default=None)


def active_book() -> JobBook | None:
    """Returns the book of the run that is being trained in this context, if it trains on hardware."""
    return _ACTIVE.get()


def job_key(*parts: str | int | bytes) -> str:
    """Returns the SHA-256 of what a job depends on, hexadecimal."""
    digest = hashlib.sha256()
    for part in parts:
        content = part if isinstance(part, bytes) else str(part).encode()
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()

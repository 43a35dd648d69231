"""The job ledger: one folder a job, so that any process can go on where another stopped.

``request.json`` says what was asked for; ``state.json`` how far it is; ``circuits.qpy`` holds the transpiled
circuits; ``counts.json`` what was measured; ``result.json`` the values. Every file is placed in one step, and
whoever changes a job holds its lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from qfedfm.core.config import Config, nearest
from qfedfm.core.errors import RequestError, RunError
from qfedfm.core.files import write_atomic
from qfedfm.quantum.ibm.calibration import Calibration
from qfedfm.quantum.ibm.options import JobOptions

FORMAT = 1
FOLDER_VARIABLE = "QFEDFM_JOBS"
DEFAULT_FOLDER = "jobs"
Status = Literal["submitting", "queued", "running", "done", "failed", "cancelled"]
OPEN: tuple[Status, ...] = ("submitting", "queued", "running")


class HeadReadout(Config):
    """How a trained head goes on from expectation values: ``logits = values @ readout.T + bias``.

    Args:
        run: The run's folder.
        examples: Numbers of the examples in the run's test data.
        labels: Their classes.
        label_names: The classes.
        readout: Shape (classes, observables).
        bias: Shape (classes,).
    """

    run: str
    examples: tuple[int, ...]
    labels: tuple[int, ...]
    label_names: tuple[str, ...]
    readout: tuple[tuple[float, ...], ...]
    bias: tuple[float, ...]


class JobRequest(Config):
    """What was asked for."""

    format: int = FORMAT
    id: str
    backend: str
    fake: bool
    source: str
    program: str
    inputs: tuple[tuple[float, ...], ...]
    weights: tuple[tuple[float, ...], ...]
    options: JobOptions
    max_seconds: float | None = None
    head: HeadReadout | None = None
    created: str
    estimate: dict[str, Any]
    layout: tuple[int, ...]
    circuits: tuple[str, ...]
    calibration: Calibration


class JobState(Config):
    """How far a job is.

    Args:
        status: See :data:`Status`.
        attempt: Counts submissions; a failed or cancelled job can be submitted again.
        job_id: The platform's.
        worker: The process id, for a fake backend.
        error: A sentence, of a failed job.
        usage_seconds: Time on the processor, as the platform says; for a fake backend the estimate.
        updated: When.
    """

    status: Status
    attempt: int = Field(default=1, ge=1)
    job_id: str | None = None
    worker: int | None = None
    error: str | None = None
    usage_seconds: float | None = None
    updated: str = ""


def now() -> str:
    """Returns the time, ISO 8601, UTC, to the microsecond: jobs of one second keep their order."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def request_id(content: dict[str, Any], copy: int = 0) -> str:
    """Returns the id of what is asked for, 12 hexadecimal digits: the same request has the same id.

    Args:
        content: Program, points, backend and options.
        copy: Makes it another job, for somebody who wants the same again.
    """
    text = json.dumps([content, copy], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


class Job:
    """One job's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def id(self) -> str:
        """The job's id."""
        return self.folder.name

    @property
    def request(self) -> JobRequest:
        """What was asked for."""
        return JobRequest.model_validate(self._read("request.json"))

    @property
    def state(self) -> JobState:
        """How far it is."""
        return JobState.model_validate(self._read("state.json"))

    @property
    def exists(self) -> bool:
        """Whether it was ever submitted."""
        return (self.folder / "state.json").is_file()

    def tag(self, attempt: int) -> str:
        """Returns the tag that the platform finds an attempt by."""
        return f"qfedfm-{self.id}-{attempt}"

    def write_request(self, request: JobRequest, circuits: bytes) -> None:
        """Places what was asked for."""
        write_atomic(self.folder / "circuits.qpy", circuits)
        write_atomic(self.folder / "request.json", request.model_dump_json(indent=1))

    def update(self, **changes: Any) -> JobState:
        """Changes the state; the caller holds the lock. Returns the new one."""
        before = self.state.model_dump() if self.exists else {}
        state = JobState.model_validate({**before, **changes, "updated": now()})
        write_atomic(self.folder / "state.json", state.model_dump_json(indent=1))
        return state

    def write(self, name: str, content: Any) -> None:
        """Places ``counts.json`` or ``result.json``."""
        write_atomic(self.folder / name, json.dumps(content, indent=1, allow_nan=False))

    def read(self, name: str) -> Any | None:
        """Returns the content of ``counts.json`` or ``result.json``, or None where there is none."""
        return self._read(name) if (self.folder / name).is_file() else None

    def circuits(self) -> list[Any]:
        """Returns the transpiled circuits."""
        from qfedfm.quantum.ibm.program import from_qpy

        return from_qpy((self.folder / "circuits.qpy").read_bytes())

    def _read(self, name: str) -> Any:
        path = self.folder / name
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{path}: cannot be read ({error}); the ledger was changed by hand") from error

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes from changing the job meanwhile."""
        self.folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def worker_lock(self) -> int | None:
        """Returns a handle on the lock that a worker holds as long as it lives, or None if one does."""
        handle = os.open(self.folder / "worker.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            return None
        return handle

    def working(self) -> bool:
        """Returns whether a worker is alive."""
        handle = self.worker_lock()
        if handle is None:
            return True
        os.close(handle)
        return False


class Ledger:
    """All jobs below a folder.

    Args:
        folder: By default ``$QFEDFM_JOBS``, else ``jobs`` in the working directory.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = Path(folder or os.environ.get(FOLDER_VARIABLE) or DEFAULT_FOLDER)

    def job(self, name: str) -> Job:
        """Returns a job by its id, or by the first digits of it.

        Raises:
            RequestError: There is none, or several.
        """
        ids = [job.id for job in self.jobs()]
        if name in ids:
            return Job(self.folder / name)
        found = [one for one in ids if name and one.startswith(name)]
        if len(found) != 1:
            many = f"{len(found)} jobs begin with {name!r}" if found else f"there is no job {name!r}"
            raise RequestError(f"{self.folder}: {many}{nearest(name, found or ids)}")
        return Job(self.folder / found[0])

    def new(self, name: str) -> Job:
        """Returns the folder of an id, submitted or not."""
        return Job(self.folder / name)

    def jobs(self) -> list[Job]:
        """Returns all jobs, the oldest first."""
        if not self.folder.is_dir():
            return []
        found = [Job(path) for path in self.folder.iterdir() if (path / "state.json").is_file()]
        return sorted(found, key=lambda job: (_created(job), job.id))


def _created(job: Job) -> str:
    try:
        return job.request.created
    except (RunError, ValidationError):
        return ""

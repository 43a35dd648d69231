"""What a user does with jobs: submit once, ask, fetch, cancel; from any process, after any interruption."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qfedfm.circuits.openqasm import to_qasm
from qfedfm.core.errors import RequestError, RunError
from qfedfm.quantum.ibm import platform
from qfedfm.quantum.ibm.account import PlatformError, connect
from qfedfm.quantum.ibm.backends import find_backend, is_fake
from qfedfm.quantum.ibm.calibration import take_calibration
from qfedfm.quantum.ibm.counts import Distribution
from qfedfm.quantum.ibm.estimating import estimate
from qfedfm.quantum.ibm.ledger import OPEN, HeadReadout, Job, JobRequest, JobState, Ledger, now, request_id
from qfedfm.quantum.ibm.options import JobOptions
from qfedfm.quantum.ibm.points import Subject
from qfedfm.quantum.ibm.program import compile_program, to_qpy
from qfedfm.quantum.ibm.results import result_of

#: Without ``--max-seconds`` a job on a real backend may be estimated at so much.
DEFAULT_MAX_SECONDS = 60.0


@dataclass(frozen=True)
class Submission:
    """What :func:`submit` did.

    Attributes:
        job: The job.
        new: Whether it was submitted now; else it had been before.
    """

    job: Job
    new: bool


def submit(
    ledger: Ledger,
    subject: Subject,
    backend_name: str,
    options: JobOptions,
    *,
    max_seconds: float | None = None,
    confirm: Callable[[dict[str, Any]], bool] | None = None,
    copy: int = 0,
    head: HeadReadout | None = None,
) -> Submission:
    """Submits a job, unless the same was submitted before and did not fail.

    Args:
        ledger: Where it is kept.
        subject: The circuit and its points.
        backend_name: Where it runs.
        options: How.
        max_seconds: The most seconds on the processor that the estimate may say; the platform stops the job
            there too. By default 60 on a real backend.
        confirm: Asked with the estimate before anything is submitted to a real backend.
        copy: 1, 2, ... for the same job again.
        head: How a run goes on from the values.

    Raises:
        RequestError: The job is refused; nothing was submitted.
        PlatformError: See :func:`qfedfm.quantum.ibm.platform.submit`.
    """
    fake = is_fake(backend_name)
    limit = max_seconds if max_seconds is not None else (None if fake else DEFAULT_MAX_SECONDS)
    service = None if fake else connect()
    backend = find_backend(backend_name, service)
    program = compile_program(subject.circuit, backend, options)
    circuits = [part.circuit for part in program.parts]
    calibration = take_calibration(backend, circuits)
    figures = estimate(program, calibration, options, subject.samples).plain()
    figures["name"] = subject.circuit.name
    content = {
        "program": to_qasm(subject.circuit),
        "inputs": subject.inputs.tolist(),
        "weights": subject.weights.tolist(),
        "backend": backend_name,
        "options": options.plain(),
        "head": head.model_dump(mode="json") if head else None,
    }
    job = ledger.new(request_id(content, copy))
    with job.locked():
        if job.exists:
            state = _refreshed(job, service) if job.state.status in OPEN else job.state
            if state.status not in ("failed", "cancelled", "submitting"):
                return Submission(job, new=False)
        if limit is not None and figures["qpu_seconds"] > limit:
            raise RequestError(
                f"the job is estimated at {figures['qpu_seconds']:.1f} s on the processor, more than "
                f"--max-seconds {limit:g}; take fewer shots or points, or raise the limit"
            )
        if not fake and confirm is not None and not confirm(figures):
            raise RequestError("not confirmed; nothing was submitted")
        attempt = job.state.attempt + 1 if job.exists else 1
        request = JobRequest(
            id=job.id,
            backend=backend_name,
            fake=fake,
            source=subject.source,
            program=content["program"],
            inputs=subject.inputs.tolist(),
            weights=subject.weights.tolist(),
            options=options,
            max_seconds=limit,
            head=head,
            created=now(),
            estimate=figures,
            layout=program.layout,
            circuits=tuple(part.hash for part in program.parts),
            calibration=calibration,
        )
        for name in ("counts.json", "result.json"):
            (job.folder / name).unlink(missing_ok=True)
        job.write_request(request, to_qpy(circuits))
        job.update(
            status="submitting", attempt=attempt, job_id=None, worker=None, error=None, usage_seconds=None
        )
        if fake:
            _start_worker(job)
        else:
            try:
                platform.submit(job, service, backend)
            except PlatformError as error:
                if error.status == -1 or error.status >= 500:
                    raise PlatformError(
                        f"{error}; whether job {job.id} arrived is not known: the same submit looks for it "
                        "by its tag first",
                        error.status,
                    ) from None
                job.update(status="failed", error=str(error))
                raise
            except RequestError as error:
                job.update(status="failed", error=str(error))
                raise
    return Submission(job, new=True)


def _start_worker(job: Job) -> None:
    """Starts a process that outlives this one and holds the worker's lock; the caller holds the job's."""
    handle = job.worker_lock()
    if handle is None:
        raise RunError(f"job {job.id}: a worker is still alive; cancel it first")
    try:
        job.update(status="queued", worker=None)
        command = [sys.executable, "-m", "qfedfm.quantum.ibm.worker", str(job.folder.resolve()), str(handle)]
        with (job.folder / "worker.txt").open("wb") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={name: value for name, value in os.environ.items() if name != "QISKIT_IBM_TOKEN"},
                pass_fds=(handle,),
            )
        job.update(worker=process.pid)
        process.returncode = 0  # it is nobody's child to wait for: it outlives this process
    finally:
        os.close(handle)


def refresh(job: Job) -> JobState:
    """Returns how far a job is, after asking whoever runs it."""
    with job.locked():
        return _refreshed(job, None)


def _refreshed(job: Job, service: Any) -> JobState:
    state = job.state
    if state.status not in OPEN:
        return state
    if job.request.fake:
        if job.working():
            return state
        return job.update(
            status="failed",
            worker=None,
            error="its worker ended before the result was there (killed, or the machine went down); "
            "submit it again",
        )
    return platform.refresh(job, service)


def wait(job: Job, seconds: float, poll: float | None = None) -> JobState:
    """Waits until a job has ended, at most so many seconds; returns its state."""
    ends = time.monotonic() + seconds
    pause = poll if poll is not None else (0.1 if job.request.fake else 2.0)
    while True:
        state = refresh(job)
        left = ends - time.monotonic()
        if state.status not in OPEN or left <= 0:
            return state
        time.sleep(min(pause, left))


def fetch(job: Job, seconds: float = 0.0) -> dict[str, Any]:
    """Returns a job's result, computed from its counts if it is not there yet.

    Args:
        job: The job.
        seconds: How long to wait for it.

    Raises:
        RunError: It has not ended yet, failed or was cancelled; the sentence says what to do.
    """
    ready = job.read("result.json")
    if isinstance(ready, dict) and job.state.status == "done":
        return ready
    state = wait(job, seconds)
    if state.status in OPEN:
        raise RunError(f"job {job.id} is {state.status}; fetch it later, or wait with --wait SECONDS")
    if state.status == "failed":
        raise RunError(f"job {job.id} failed: {state.error}")
    if state.status == "cancelled":
        raise RunError(f"job {job.id} was cancelled; submit it again to run it")
    with job.locked():
        counts = job.read("counts.json")
        if counts is None:
            counts = platform.fetch_counts(job)
            job.write("counts.json", counts)
        found = [[Distribution.of_counts(one) for one in rows] for rows in counts]
        result = result_of(job, found)
        job.write("result.json", result)
    return result


def cancel(job: Job) -> JobState:
    """Cancels a job that has not ended.

    Raises:
        RequestError: It has ended.
    """
    with job.locked():
        state = _refreshed(job, None)
        if state.status not in OPEN:
            raise RequestError(f"job {job.id} is {state.status}; there is nothing to cancel")
        if not job.request.fake:
            platform.cancel(job)
            return platform.refresh(job)
        _stop_worker(job, state)
        return job.update(status="cancelled", worker=None)


def _stop_worker(job: Job, state: JobState) -> None:
    for sent in (signal.SIGTERM, signal.SIGKILL):
        # The lock says that the process that wrote this id is alive, so the id is still its own.
        if state.worker is None or not job.working():
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(state.worker, sent)
        ends = time.monotonic() + 5.0
        while job.working() and time.monotonic() < ends:
            time.sleep(0.02)

"""The platform: submitting a job once, finding it again, its state, its counts.

The client retries reading on 500 by itself, and submitting too. What it does not retry is waited for here:
429, and broken connections, after which a submission is first looked for by its tag, as it may have arrived.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from qfedfm.core.errors import RunError
from qfedfm.quantum.ibm.account import PlatformError, connect, speaking
from qfedfm.quantum.ibm.counts import counts_of
from qfedfm.quantum.ibm.ledger import Job, JobState, Status
from qfedfm.quantum.ibm.running import mode_of, rebuilt, sampler

Result = TypeVar("Result")
#: Seconds to wait before trying again.
WAITS: tuple[float, ...] = (2.0, 5.0, 15.0)
_STATES: dict[str, Status] = {
    "INITIALIZING": "queued",
    "QUEUED": "queued",
    "RUNNING": "running",
    "DONE": "done",
    "CANCELLED": "cancelled",
    "ERROR": "failed",
}


def again(call: Callable[[], Result]) -> Result:
    """Returns what ``call``, which only reads, returns; tries again after 429 and broken connections."""
    for wait in (*WAITS, None):
        try:
            with speaking():
                return call()
        except PlatformError as error:
            if wait is None or error.status not in (429, -1):
                raise
            time.sleep(wait)
    raise AssertionError


def submit(job: Job, service: Any, backend: Any) -> JobState:
    """Submits a job whose state is ``submitting``, or finds it submitted; the caller holds its lock.

    Returns:
        The new state.

    Raises:
        AccountError: The token is refused; nothing was submitted.
        PlatformError: It was not submitted, or it is not known whether it was (then the next submission of
            the same job looks for it first).
    """
    request, state = job.request, job.state
    tag = job.tag(state.attempt)
    program, inputs, weights = rebuilt(job)
    pubs = program.pubs(program.angles(inputs, weights))
    with speaking(), mode_of(backend, request.options) as mode:
        primitive = sampler(mode, request.options, tag=tag, most=request.max_seconds)
        for wait in (*WAITS, None):
            known = find(service, tag)
            if known is not None:
                return job.update(status="queued", job_id=known, error=None)
            try:
                with speaking():
                    found = primitive.run(pubs, shots=request.options.shots)
                return job.update(status="queued", job_id=found.job_id(), error=None)
            except PlatformError as error:
                if wait is None:
                    raise
                if error.status not in (429, -1) and error.status < 500:
                    raise
                time.sleep(wait)
    raise AssertionError


def find(service: Any, tag: str) -> str | None:
    """Returns the platform's id of the job with a tag, or None where there is none."""
    found = again(lambda: service.jobs(job_tags=[tag], limit=1))
    return str(found[0].job_id()) if found else None


def refresh(job: Job, service: Any = None) -> JobState:
    """Asks the platform how far a job is; the caller holds its lock."""
    state = job.state
    service = service or connect()
    if state.job_id is None:
        known = find(service, job.tag(state.attempt))
        if known is None:
            return job.update(
                status="failed",
                error="the submission was interrupted before it reached the platform; submit it again",
            )
        state = job.update(status="queued", job_id=known)
    remote = again(lambda: service.job(state.job_id))
    status = _STATES.get(again(remote.status), "queued")
    error = None
    if status == "failed":
        reason = again(remote.error_message) or "no reason given"
        error = f"the backend failed the job: {' '.join(str(reason).split())[:400]}"
    usage = again(remote.usage) if status in ("done", "failed", "cancelled") else None
    return job.update(status=status, error=error, usage_seconds=usage)


def fetch_counts(job: Job, service: Any = None) -> list[list[dict[str, int]]]:
    """Returns the counts of a job that is done."""
    service = service or connect()
    program, inputs, _ = rebuilt(job)
    remote = again(lambda: service.job(job.state.job_id))
    result = again(lambda: remote.result(timeout=60))
    if result is None:
        raise RunError(f"job {job.id} has no result on the platform")
    return counts_of(result, [len(inputs) if part.broadcast else 1 for part in program.parts])


def cancel(job: Job, service: Any = None) -> None:
    """Asks the platform to cancel a job; one that has ended already is left as it is."""
    from qiskit_ibm_runtime.exceptions import RuntimeInvalidStateError

    service = service or connect()
    remote = again(lambda: service.job(job.state.job_id))
    with speaking():
        try:
            remote.cancel()
        except RuntimeInvalidStateError:
            return

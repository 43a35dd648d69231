"""The platform: submitting a job once, finding it again, its state, its counts.

The client retries reading on 500 by itself, and submitting too. What it does not retry is waited for here:
429, and broken connections, after which a submission is first looked for by its tag, as it may have arrived.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any, TypeVar

from qfedfm.core.errors import RequestError, RunError
from qfedfm.quantum.ibm.account import AccountError, PlatformError, connect, speaking
from qfedfm.quantum.ibm.book import JobBook
from qfedfm.quantum.ibm.counts import counts_of
from qfedfm.quantum.ibm.ledger import Job, JobState, Status
from qfedfm.quantum.ibm.options import JobOptions, Mode
from qfedfm.quantum.ibm.program import Program
from qfedfm.quantum.ibm.running import rebuilt, sampler

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
    known = find(service, tag)
    if known is None:
        mode = open_mode(backend, request.options.mode)
        try:
            primitive = sampler(mode, request.options, tag=tag, most=request.max_seconds)
            known = _submitted(service, primitive, pubs, request.options, tag)
        finally:
            if mode is not backend:
                with speaking():
                    mode.close()  # takes no more jobs; those in it run
    return job.update(status="queued", job_id=known, error=None)


def open_mode(backend: Any, mode: Mode) -> Any:
    """Returns what the Sampler runs in: the backend itself, or a new batch or session on it.

    Raises:
        RequestError: The plan has no such mode.
    """
    if mode == "job":
        return backend
    from qiskit_ibm_runtime import Batch, Session

    try:
        with speaking():
            return (Batch if mode == "batch" else Session)(backend=backend)
    except (AccountError, PlatformError) as error:
        raise RequestError(
            f"the platform opens no {mode} on {backend.name} (not every plan has one); use mode job: {error}"
        ) from None


def _submitted(service: Any, primitive: Any, pubs: list[Any], options: JobOptions, tag: str) -> str:
    """Returns the platform's id of the job with a tag, after submitting it if there is none."""
    for wait in (*WAITS, None):
        known = find(service, tag)
        if known is not None:
            return known
        try:
            with speaking():
                sent = primitive.run(pubs, shots=options.shots)
            return find(service, tag) or str(sent.job_id())
        except PlatformError as error:
            if wait is None or (error.status not in (429, -1) and error.status < 500):
                raise
            time.sleep(wait)
    raise AssertionError


def find(service: Any, tag: str) -> str | None:
    """Returns the platform's id of the job with a tag, or None where there is none.

    Should there be several (see :func:`qfedfm.quantum.ibm.account.connect`), all but the first are cancelled.
    """
    found = again(lambda: service.jobs(job_tags=[tag], limit=5, descending=False))
    for repeated in found[1:]:
        stop(repeated)
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
    service = service or connect()
    stop(again(lambda: service.job(job.state.job_id)))


def stop(remote: Any) -> None:
    """Cancels a job of the platform, if it has not ended."""
    from qiskit_ibm_runtime.exceptions import RuntimeInvalidStateError

    with speaking():
        try:
            remote.cancel()
        except RuntimeInvalidStateError:
            return


def run_now(
    book: JobBook,
    service: Any,
    backend: Any,
    program: Program,
    angles: Any,
    options: JobOptions,
    key: str,
    most: float,
) -> tuple[list[list[dict[str, int]]], float | None]:
    """Runs one job of a training run and waits for it, however long it is queued.

    Should this process end meanwhile, the next one finds the job by its tag.

    Args:
        book: The run's; keeps the batch or session open between jobs.
        service: The runtime's service.
        backend: Where.
        program: What.
        angles: Shape (points, columns).
        options: Shots.
        key: Names the job.
        most: The estimate, seconds; the platform stops the job at three times that, or where the budget ends.

    Returns:
        The counts, and the seconds that the platform charged.

    Raises:
        RunError: The backend failed the job, or it was cancelled.
    """
    for attempt in itertools.count(1):
        tag = f"qfedfm-{key[:24]}-{attempt}"
        known = find(service, tag)
        if known is None:
            if book.session is None and book.options.mode != "job":
                book.session = open_mode(backend, book.options.mode)
            primitive = sampler(book.session or backend, options, tag=tag, most=min(3 * most, book.left))
            known = _submitted(service, primitive, program.pubs(angles), options, tag)
            break
        if not _in_vain(service, known):
            break  # an earlier process submitted it; one that failed then is submitted anew
    remote = again(lambda: service.job(known))
    result = again(remote.result)
    usage = again(remote.usage)
    return counts_of(result, [len(angles) if part.broadcast else 1 for part in program.parts]), usage


def _in_vain(service: Any, job_id: str) -> bool:
    """Returns whether a job has ended without a result."""
    remote = again(lambda: service.job(job_id))
    return _STATES.get(again(remote.status)) in ("failed", "cancelled")

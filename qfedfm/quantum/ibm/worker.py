"""Runs one job of a fake backend in a process of its own: ``python -m qfedfm.quantum.ibm.worker FOLDER FD``.

FD is the handle of the lock that the submitting process opened; it is held until this process ends, however
it ends, which is how others see that it does not live any more.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

from qfedfm.quantum.ibm.ledger import Job


def work(folder: Path) -> None:
    """Runs a queued job and writes what was measured into the ledger."""
    job = Job(folder)
    with job.locked():
        waiting = job.state
        if waiting.status != "queued":
            return
        job.update(status="running", worker=os.getpid())
    try:
        from qfedfm.quantum.ibm.running import run_locally

        counts = run_locally(job)
    except Exception as error:
        traceback.print_exc()
        with job.locked():
            job.update(
                status="failed", error=f"the simulation failed: {type(error).__name__}: {error}", worker=None
            )
        return
    with job.locked():
        still = job.state
        if still.status == "running":
            job.write("counts.json", counts)
            job.update(status="done", worker=None, usage_seconds=job.request.estimate["qpu_seconds"])


if __name__ == "__main__":
    os.set_inheritable(int(sys.argv[2]), False)
    work(Path(sys.argv[1]))

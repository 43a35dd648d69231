"""What training on hardware costs a run: its book of jobs, and their totals for the summary."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qfedfm.experiment.config import Experiment

FOLDER = "jobs"


def job_book(experiment: Experiment, folder: Path) -> AbstractContextManager[Any]:
    """Returns the book that the run's jobs are kept in, or a context without effect where it has none.

    Args:
        experiment: The run's options.
        folder: The run's folder.
    """
    hardware = getattr(experiment.model.head, "hardware", None)
    if hardware is None:
        return nullcontext()
    from qfedfm.quantum.ibm.book import JobBook

    return JobBook(folder / FOLDER, hardware)


def jobs_used(experiment: Experiment, folder: Path) -> dict[str, Any]:
    """Returns ``hardware_jobs``, ``hardware_seconds`` and whether these are estimates, if there is a book."""
    hardware = getattr(experiment.model.head, "hardware", None)
    if hardware is None:
        return {}
    from qfedfm.quantum.ibm.book import JobBook

    return JobBook(folder / FOLDER, hardware).used()

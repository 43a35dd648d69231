"""Quantum-enhanced federated foundation models.

``load`` reads an experiment file, ``run`` runs it, ``compare`` runs a comparison, ``load_model`` gives
the trained model of a run. Nothing heavy is imported until it is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qfedfm.experiment.comparing import Comparison
    from qfedfm.experiment.config import Experiment
    from qfedfm.experiment.results import Run
    from qfedfm.models import TrainedModel

__all__ = ["compare", "load", "load_model", "run"]


def load(path: str | Path, overrides: Mapping[str, Any] | Iterable[str] = ()) -> Experiment:
    """Reads an experiment file.

    Args:
        path: A YAML file, or a run's folder.
        overrides: ``{"key.path": value}`` or ``"key.path=value"`` strings.

    Returns:
        The checked, frozen experiment with every default filled in.

    Raises:
        RequestError: One sentence: which key or file, and what would be right.
    """
    from qfedfm.experiment.loading import load as load_file

    return load_file(path, overrides)


def run(
    config: Experiment | str | Path | Mapping[str, Any],
    *,
    out: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
    progress: bool = False,
) -> Run:
    """Runs an experiment, or returns the same run if it is there already.

    Args:
        config: An experiment, the path of an experiment file, or its content as a mapping.
        out: The run's folder; by default ``runs/<name>-<first 8 of the run id>``.
        resume: Continue an interrupted run to the same bits.
        force: Start over even if the run is complete.
        progress: Whether to show progress on stderr.

    Returns:
        The run: ``.summary``, ``.rounds`` (a pandas frame), ``.plot()``, ``.model()``.
    """
    from qfedfm.experiment.config import Experiment
    from qfedfm.experiment.loading import experiment, load
    from qfedfm.experiment.progress import open_progress
    from qfedfm.experiment.results import Run
    from qfedfm.experiment.running import run_experiment

    if isinstance(config, str | Path):
        config = load(config)
    elif not isinstance(config, Experiment):
        config = experiment(config)
    folder = run_experiment(
        config, out=out, resume=resume, force=force, progress=open_progress(quiet=not progress)
    )
    return Run(folder)


def compare(
    path: str | Path, *, out: str | Path | None = None, progress: bool = False, **options: Any
) -> Comparison:
    """Runs a comparison file; see :func:`qfedfm.experiment.comparing.compare`."""
    from qfedfm.experiment.comparing import compare as run_comparison
    from qfedfm.experiment.progress import open_progress

    return run_comparison(path, out=out, progress=open_progress(quiet=not progress), **options)


def load_model(run: str | Path | Run, client: int | None = None) -> TrainedModel:
    """Returns the trained model of a run; ``.predict(texts)`` gives ``(label, probability)`` pairs.

    Args:
        run: A run or its folder.
        client: Whose own model, where the run's method made personal ones; None for the global model.
    """
    from qfedfm.experiment.results import load_model as from_run

    return from_run(run, client)

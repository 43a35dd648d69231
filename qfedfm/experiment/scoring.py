"""Scoring a run's model again: on its own test data or on new data, on another executor, with shots."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qfedfm.core.errors import RequestError
from qfedfm.core.random import Streams
from qfedfm.experiment.results import Run
from qfedfm.experiment.scores import score

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qfedfm.experiment.config import Experiment


def evaluate_run(
    run: str | Path | Run,
    *,
    data: str | Path | None = None,
    text: str | None = None,
    label: str | None = None,
    executor: str | None = None,
    shots: int | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Scores the model of a run.

    Args:
        run: A run or its folder.
        data: A file of labelled texts; by default the run's own test data.
        text: The file's text column; by default as in the run.
        label: The file's label column; by default as in the run.
        executor: Where the circuit runs; by default as in the run.
        shots: Measurements per expectation value; None for exact values.
        seed: Seeds the shots and the bootstrap.

    Returns:
        The scores (see ``scores.json``), with what was scored and how.
    """
    from qfedfm.models import load_model_from_folder

    run = run if isinstance(run, Run) else Run(run)
    if not run.complete:
        raise RequestError(f"{run.folder}: the run is not complete; continue it with --resume first")
    experiment = run.experiment
    kind = experiment.model.head.kind
    circuit = getattr(experiment.model.head, "executor", None)
    if circuit is None and (executor is not None or shots is not None):
        raise RequestError(f"--executor and --shots need a head with a circuit; this run's head is {kind}")
    streams = Streams(seed)
    model = load_model_from_folder(
        run.folder,
        executor=executor,
        shots=shots,
        generator=streams.torch("shots") if shots is not None else None,
    )
    inputs, labels, names = labelled(run, experiment, model.label_names, data, text, label)
    found = score(model.logits(inputs), labels, names, streams.at("scores"))
    return {
        "run": str(run.folder),
        "data": str(data) if data is not None else "test data of the run",
        "executor": (executor or circuit) if circuit is not None else None,
        "shots": shots,
        "seed": seed,
        **found.plain(),
    }


def labelled(
    run: Run,
    experiment: Experiment,
    label_names: Sequence[str],
    data: str | Path | None = None,
    text: str | None = None,
    label: str | None = None,
) -> tuple[Sequence[str] | np.ndarray, np.ndarray, Sequence[str]]:
    """Returns inputs, labels and label names of a run's test data, or of a file of labelled texts."""
    from qfedfm import data as data_room

    options = experiment.data
    if data is not None:
        texts, labels = data_room.read_labelled(
            data,
            text or options.text,
            label or options.label,
            options.header,
            tuple(label_names),
        )
        return texts, labels, label_names
    if text is not None or label is not None:
        raise RequestError("--text and --label name columns of a file; give the file with --data")
    whole = data_room.load(options, Streams(experiment.seed).at("data"))
    chosen = whole.test
    inputs = whole.inputs
    picked = inputs[chosen] if isinstance(inputs, np.ndarray) else [inputs[i] for i in chosen]
    return picked, whole.labels[chosen], whole.label_names


def describe(found: dict[str, Any]) -> str:
    """Returns scores as lines of text."""

    def line(name: str, entry: dict[str, Any]) -> str:
        if entry["value"] is None:
            return f"  {name:<24} undefined ({entry.get('note', '')})"
        between = f"  [{entry['low']:.4f}, {entry['high']:.4f}]" if entry["low"] is not None else ""
        return f"  {name:<24} {entry['value']:.4f}{between}"

    how = f", {found['executor']}" if found["executor"] else ""
    shots = f", {found['shots']} shots" if found["shots"] else ""
    lines = [f"{found['run']}: {found['examples']} examples of {found['data']}{how}{shots}"]
    for name in ("accuracy", "macro_f1", "loss", "calibration_error", "brier"):
        lines.append(line(name.replace("_", " "), found[name]))
    lines.append("per class: F1 (recall, precision, examples)")
    for entry in found["per_class"]:
        values = [entry[key]["value"] for key in ("f1", "recall", "precision")]
        shown = ["undefined" if value is None else f"{value:.3f}" for value in values]
        lines.append(f"  {entry['name']:<24} {shown[0]} ({shown[1]}, {shown[2]}, {entry['support']})")
    if found["unseen"]:
        lines.append(f"never seen in training, counted as wrong: {', '.join(found['unseen'])}")
    lines.append("intervals are 95 %")
    return "\n".join(lines)

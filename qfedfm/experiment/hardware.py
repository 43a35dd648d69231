"""A trained head on hardware: features computed here, circuits there, accuracy against simulation.

N = examples, q = inputs of the circuit, o = observables, C = classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qfedfm.core.errors import RequestError
from qfedfm.core.random import Streams
from qfedfm.experiment.results import Run
from qfedfm.experiment.scoring import labelled
from qfedfm.experiment.statistics import wilson

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from qfedfm.quantum.ibm.ledger import HeadReadout, Job
    from qfedfm.quantum.ibm.points import Subject


def head_on_examples(run: str | Path | Run, examples: int = 64, seed: int = 0) -> tuple[Subject, HeadReadout]:
    """Returns the circuit of a run's trained head at examples of its test data, and what follows the circuit.

    Args:
        run: A complete run or its folder.
        examples: N; they are drawn without replacement, and are the same for one seed.
        seed: Seeds the draw.

    Raises:
        RequestError: The run is not complete, its head has no circuit, or there are fewer examples.
    """
    from qfedfm.models import load_model_from_folder
    from qfedfm.quantum.ibm.ledger import HeadReadout
    from qfedfm.quantum.ibm.points import Subject

    run = run if isinstance(run, Run) else Run(run)
    if not run.complete:
        raise RequestError(f"{run.folder}: the run is not complete; continue it with --resume first")
    model = load_model_from_folder(run.folder)
    inputs, labels, names = labelled(run, run.experiment, model.label_names)
    if not 1 <= examples <= len(labels):
        raise RequestError(f"--examples is {examples}; the run has {len(labels)} test examples")
    chosen = np.sort(Streams(seed)("hardware", "examples").permutation(len(labels))[:examples])
    picked = inputs[chosen] if isinstance(inputs, np.ndarray) else [inputs[i] for i in chosen]
    parts = model.head_inputs(picked)
    subject = Subject(parts.circuit, parts.angles, np.tile(parts.weights, (examples, 1)), str(run.folder), ())
    readout = HeadReadout(
        run=str(run.folder),
        examples=tuple(chosen.tolist()),
        labels=tuple(int(label) for label in labels[chosen]),
        label_names=tuple(names),
        readout=parts.readout.tolist(),
        bias=parts.bias.tolist(),
    )
    return subject, readout


def fetch_scored(job: Job, seconds: float = 0.0) -> dict[str, Any]:
    """Returns a job's result (see :func:`qfedfm.quantum.ibm.jobs.fetch`), for a head with its accuracies.

    ``accuracy`` has one entry a method of the device (``raw``, ``readout``, ...), each with its Wilson
    interval, the same from the simulated noise (``noisy raw``, ...), and ``ideal``.
    """
    from qfedfm.quantum.ibm.jobs import fetch

    found = fetch(job, seconds)
    head = job.request.head
    if head is None:
        return found
    values = {method: entry["values"] for method, entry in found["estimates"].items()}
    values |= {f"noisy {method}": entry["noisy"] for method, entry in found["estimates"].items()}
    values["ideal"] = found["ideal"]
    scores = {name: accuracy(head, np.array(rows)) for name, rows in values.items() if rows is not None}
    return {**found, "run": head.run, "examples": list(head.examples), "accuracy": scores}


def accuracy(head: HeadReadout, values: np.ndarray) -> dict[str, Any]:
    """Returns the accuracy of a head on expectation values (N, o), with Wilson's 95 % interval."""
    logits = values @ np.array(head.readout).T + np.array(head.bias)
    correct = int((logits.argmax(1) == np.array(head.labels)).sum())
    return wilson(correct, len(head.labels)).plain()


def rows_of(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns one row a backend and method: accuracy with interval, ideal accuracy, errors of the values."""
    rows = []
    for result in results:
        scores = result.get("accuracy", {})
        for method, entry in result["estimates"].items():
            errors = np.array(entry["standard_errors"])
            rows.append(
                {
                    "backend": result["backend"],
                    "method": method,
                    "accuracy": scores.get(method),
                    "noisy_accuracy": scores.get(f"noisy {method}"),
                    "ideal_accuracy": scores.get("ideal"),
                    "rms_error": entry.get("rms_error"),
                    "noisy_rms_error": entry.get("noisy_rms_error"),
                    "rms_standard_error": float(np.sqrt(np.mean(errors**2))),
                    "jobs": result["jobs"],
                    "shots": result["shots"],
                    "seconds": result["usage_seconds"],
                    "seconds_are_estimated": result["usage_is_estimated"],
                }
            )
    return rows


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """Returns :func:`rows_of` as lines of text."""
    lines = [
        f"{'backend':<18} {'method':<12} {'accuracy':>8}  {'95 % interval':<16} {'simulated':>9} "
        f"{'ideal':>6} {'rms error':>9} {'(shots)':>8} {'simulated':>9} {'jobs':>4} {'seconds':>8}"
    ]
    for row in rows_of(results):
        score, noisy, ideal = (row[key] for key in ("accuracy", "noisy_accuracy", "ideal_accuracy"))
        between = f"[{score['low']:.3f}, {score['high']:.3f}]" if score else "-"
        seconds = "-" if row["seconds"] is None else f"{row['seconds']:.1f}"
        lines.append(
            f"{row['backend']:<18} {row['method']:<12} {_number(score, 3):>8}  {between:<16} "
            f"{_number(noisy, 3):>9} {_number(ideal, 3):>6} {_number(row['rms_error'], 4):>9} "
            f"{_number(row['rms_standard_error'], 4):>8} {_number(row['noisy_rms_error'], 4):>9} "
            f"{row['jobs']:>4} {seconds:>8}"
        )
    return "\n".join(lines)


def _number(value: Mapping[str, Any] | float | None, digits: int) -> str:
    found = value["value"] if isinstance(value, Mapping) else value
    return "-" if found is None else f"{found:.{digits}f}"


def figure(results: Sequence[Mapping[str, Any]]) -> Figure:
    """Draws accuracy with intervals and the error of the values, by backend and method."""
    from matplotlib.figure import Figure

    rows = rows_of(results)
    backends = list(dict.fromkeys(row["backend"] for row in rows))
    methods = list(dict.fromkeys(row["method"] for row in rows))
    scored = any(row["accuracy"] for row in rows)
    drawn = Figure(figsize=(9.5 if scored else 5.5, 3.6), layout="constrained")
    panels = list(drawn.subplots(1, 2 if scored else 1, squeeze=False)[0])
    width = 0.8 / len(methods)
    for place, method in enumerate(methods):
        own = [row for row in rows if row["method"] == method]
        x = (
            np.array([backends.index(row["backend"]) for row in own])
            + (place - (len(methods) - 1) / 2) * width
        )
        if scored:
            value = np.array([row["accuracy"]["value"] for row in own])
            low = np.array([row["accuracy"]["low"] for row in own])
            high = np.array([row["accuracy"]["high"] for row in own])
            panels[0].errorbar(x, value, [value - low, high - value], fmt="o", capsize=3, label=method)
        panels[-1].bar(x, [row["rms_error"] or np.nan for row in own], width * 0.9, label=method)
        panels[-1].plot(x, [row["noisy_rms_error"] or np.nan for row in own], "k_", markersize=12)
    if scored:
        ideal = rows[0]["ideal_accuracy"]
        if ideal is not None:
            panels[0].axhline(ideal["value"], linestyle=":", color="gray", label="ideal")
        panels[0].set_ylabel("accuracy, 95 % interval")
        panels[0].legend(loc="lower left", fontsize="small")
        panels[0].set_ylim(0, 1)
    panels[-1].set_ylabel("rms error of values against ideal\n(dash: simulated noise, exact)")
    panels[-1].legend()
    for panel in panels:
        panel.set_xticks(range(len(backends)), backends)
        panel.grid(axis="y", alpha=0.3)
    return drawn

"""A comparison: one file with a base experiment, what varies, and seeds; one table at the end.

Every cell of the grid runs once a seed; runs that exist already are reused by their run id. Where the
file has ``select``, each cell chooses among those values by the mean over seeds of a validation measure,
never by test, and every run of the search is kept.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean as mean_of
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from qfedfm.core.config import Config
from qfedfm.core.errors import RequestError
from qfedfm.core.files import write_atomic
from qfedfm.experiment.config import Experiment
from qfedfm.experiment.loading import experiment, explain, override, read_yaml
from qfedfm.experiment.progress import Progress, SilentProgress
from qfedfm.experiment.report import write_comparison_report
from qfedfm.experiment.results import Run
from qfedfm.experiment.running import run_experiment
from qfedfm.experiment.tables import ComparisonTable, Row, build_table

QUICK_SEEDS = 2
QUICK_ROUNDS = 2


class Selection(Config):
    """What each cell chooses, and by which measure on validation data.

    Args:
        over: Values to choose from, by key path; the grid of all of them is searched.
        by: The validation measure; accuracy is maximised, loss minimised.
    """

    over: dict[str, tuple[Any, ...]]
    by: Literal["validation_accuracy", "validation_loss"] = "validation_accuracy"


class ComparisonFile(Config):
    """A comparison file.

    Args:
        name: Names the folder below ``runs/``.
        base: An experiment (keys and values), or the path of an experiment file beside this one.
        vary: Per key path, a list of values or a mapping of label to value; the grid of all of them.
            The first cell is the row that others are compared with.
        seeds: A number of seeds (0, 1, ...) or a list of them.
        select: What each cell chooses on validation data.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    base: dict[str, Any] | str
    vary: dict[str, list[Any] | dict[str, Any]]
    seeds: Annotated[int, Field(ge=1)] | tuple[int, ...] = 5
    select: Selection | None = None


@dataclass(frozen=True)
class Cell:
    """One point of the grid.

    Args:
        label: How it is called in the table.
        settings: Values by key path.
    """

    label: str
    settings: dict[str, Any]


@dataclass(frozen=True)
class Comparison:
    """A finished comparison.

    Args:
        folder: Where ``comparison.json``, ``.csv`` and ``.html`` lie, and the runs.
        table: One row a cell: mean and interval, paired difference from the first row, cost.
        content: What ``comparison.json`` holds.
    """

    folder: Path
    table: ComparisonTable
    content: dict[str, Any]


def compare(
    path: str | Path,
    *,
    seeds: int | None = None,
    quick: bool = False,
    cells: Sequence[str] = (),
    out: str | Path | None = None,
    progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
) -> Comparison:
    """Runs a comparison file.

    Args:
        path: The file.
        seeds: Overrides the number of seeds.
        quick: Two seeds, two rounds, no selection: a rehearsal, kept apart from the real runs.
        cells: Only the cells whose label contains one of these; the first cell always runs.
        out: Folder for the table and the runs; by default ``runs/<name>``.
        progress: Shows each run.
        note: Told one line before each run.

    Raises:
        RequestError: If the file or one of its cells is wrong; found before anything runs.
    """
    file = _read(Path(path))
    base = _base(file, Path(path))
    chosen = _chosen(grid(file.vary), cells)
    numbers = _seeds(file, seeds, quick)
    selection = None if quick else file.select
    name = f"{file.name}-quick" if quick else file.name
    folder = Path(out) if out is not None else Path("runs") / name
    common: dict[str, Any] = {"federation.rounds": QUICK_ROUNDS} if quick else {}
    trials = _trials(selection)
    planned = {
        (cell.label, trial, seed): _cell(base, cell, {**common, **dict(trial)}, seed, name, str(path))
        for cell in chosen
        for trial in trials
        for seed in numbers
    }
    if selection is not None and any(e.data.validation_fraction == 0 for e in planned.values()):
        raise RequestError(
            f"{path}: select chooses on validation data; set data.validation_fraction above 0 in base"
        )
    show, tell = progress or SilentProgress(), note or (lambda line: None)
    found: dict[tuple[str, Any, int], Run] = {}
    for number, (key, planned_run) in enumerate(planned.items(), 1):
        label, trial, seed = key
        at = "".join(f", {path_} {value}" for path_, value in trial)
        tell(f"[{number}/{len(planned)}] {label}, seed {seed}{at}")
        found[key] = Run(run_experiment(planned_run, root=folder, resume=True, progress=show, report=False))
    picked = {cell.label: _pick(cell, trials, numbers, found, selection) for cell in chosen}
    runs = {cell.label: [found[cell.label, picked[cell.label], seed] for seed in numbers] for cell in chosen}
    table = build_table(
        [
            Row(
                cell.label,
                [run.summary for run in runs[cell.label]],
                {**cell.settings, **dict(picked[cell.label])},
            )
            for cell in chosen
        ]
    )
    content = {
        "name": name,
        "file": Path(path).name,
        "seeds": numbers,
        "quick": quick,
        "selection": selection.plain() if selection else None,
        "search": [
            {
                "cell": label,
                "settings": dict(trial),
                "seed": seed,
                "validation_accuracy": run.summary["validation_accuracy"],
                "run_id": run.summary["run_id"],
            }
            for (label, trial, seed), run in found.items()
        ],
        "table": table.plain(),
        "notes": list(table.notes),
        "runs": {label: [run.summary["run_id"] for run in of] for label, of in runs.items()},
        "environment": json.loads((next(iter(found.values())).folder / "environment.json").read_text()),
    }
    write_atomic(folder / "comparison.json", json.dumps(content, indent=1, allow_nan=False) + "\n")
    write_atomic(folder / "comparison.csv", table.csv())
    write_comparison_report(
        {label: [run.folder for run in of] for label, of in runs.items()}, folder / "comparison.html", name
    )
    return Comparison(folder, table, content)


def grid(vary: Mapping[str, Sequence[Any] | Mapping[str, Any]]) -> list[Cell]:
    """Returns every combination of the varied values, the first of each first."""
    axes = []
    for path, values in vary.items():
        if not values:
            raise RequestError(f"vary.{path} is empty; list at least one value")
        pairs = list(values.items()) if isinstance(values, Mapping) else [(_label(v), v) for v in values]
        labels = [label for label, _ in pairs]
        for label in labels:
            if labels.count(label) > 1:
                raise RequestError(
                    f"vary.{path}: two values are both called {label!r}; give labels, as in {{label: value}}"
                )
        axes.append([(path, str(label), value) for label, value in pairs])
    return [
        Cell(", ".join(label for _, label, _ in point), {path: value for path, _, value in point})
        for point in itertools.product(*axes)
    ]


def _label(value: Any) -> str:
    if isinstance(value, Mapping) and "kind" in value:
        rest = [f"{key}={entry}" for key, entry in value.items() if key != "kind"]
        return " ".join([str(value["kind"]), *rest])
    return json.dumps(value) if isinstance(value, list | dict) else str(value)


def _read(path: Path) -> ComparisonFile:
    content = read_yaml(path)
    try:
        return ComparisonFile.model_validate(content)
    except ValidationError as error:
        _, sentence = explain(error, ComparisonFile)
        raise RequestError(
            f"{path}: {sentence}; a comparison file has name, base, vary, seeds, select"
        ) from None


def _base(file: ComparisonFile, path: Path) -> dict[str, Any]:
    if isinstance(file.base, str):
        return read_yaml(path.parent / file.base)
    return file.base


def _chosen(cells: Sequence[Cell], wanted: Sequence[str]) -> list[Cell]:
    for name in wanted:
        if not any(name in cell.label for cell in cells):
            raise RequestError(
                f"--cells {name}: no cell is called so; there are {'; '.join(cell.label for cell in cells)}"
            )
    return [
        cell
        for number, cell in enumerate(cells)
        if not wanted or number == 0 or any(name in cell.label for name in wanted)
    ]


def _seeds(file: ComparisonFile, wanted: int | None, quick: bool) -> list[int]:
    listed = list(range(file.seeds)) if isinstance(file.seeds, int) else list(file.seeds)
    if wanted is not None:
        listed = listed[:wanted] if wanted <= len(listed) else list(range(wanted))
    if not listed or len(set(listed)) != len(listed):
        raise RequestError("seeds: give at least one seed, each once")
    return listed[:QUICK_SEEDS] if quick else listed


def _trials(selection: Selection | None) -> list[tuple[tuple[str, Any], ...]]:
    if selection is None:
        return [()]
    axes = [[(path, value) for value in values] for path, values in selection.over.items()]
    return [tuple(point) for point in itertools.product(*axes)]


def _cell(
    base: Mapping[str, Any], cell: Cell, further: Mapping[str, Any], seed: int, name: str, source: str
) -> Experiment:
    settings = {**cell.settings, **further, "seed": seed, "name": name}
    return experiment(override(base, settings), source=f"{source}, cell {cell.label!r}")


def _pick(
    cell: Cell,
    trials: Sequence[tuple[tuple[str, Any], ...]],
    seeds: Sequence[int],
    found: Mapping[tuple[str, Any, int], Run],
    selection: Selection | None,
) -> tuple[tuple[str, Any], ...]:
    """Returns the settings with the best mean validation measure; the first of equals."""
    if selection is None:
        return trials[0]
    sign = 1.0 if selection.by == "validation_accuracy" else -1.0

    def mean(trial: tuple[tuple[str, Any], ...]) -> float:
        return sign * mean_of([float(found[cell.label, trial, seed].summary[selection.by]) for seed in seeds])

    return max(trials, key=mean)

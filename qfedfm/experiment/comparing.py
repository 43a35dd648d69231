"""A comparison: one file with a base experiment, what varies, and seeds; one table at the end.

Every cell of the grid runs once a seed; runs that exist already are reused by their run id. Where the
file has ``select``, each cell chooses among those values by the mean over seeds of a validation measure,
never by test, and every run of the search is kept.

With ``within`` cells are compared inside groups that differ on that axis only; ``core`` names the part of the
grid that runs by default, and the rest is listed as not run.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean as mean_of
from typing import Any

from qfedfm.core.config import nearest
from qfedfm.core.errors import RequestError
from qfedfm.core.files import write_atomic
from qfedfm.experiment.comparison_file import (
    QUICK_ROUNDS,
    Selection,
    Trial,
    base_of,
    read_file,
    search_cells,
    seeds_of,
    trials_of,
    unique,
)
from qfedfm.experiment.config import Experiment
from qfedfm.experiment.grid import Cell, chosen, grid, group, possible
from qfedfm.experiment.loading import experiment, override
from qfedfm.experiment.progress import Progress, SilentProgress
from qfedfm.experiment.report import write_comparison_report
from qfedfm.experiment.results import Run
from qfedfm.experiment.running import run_experiment
from qfedfm.experiment.tables import ComparisonTable, Row, build_table
from qfedfm.experiment.verdicts import describe, judge, read_claims


@dataclass(frozen=True)
class Comparison:
    """A finished comparison.

    Args:
        folder: Where ``comparison.json``, ``.csv`` and ``.html`` lie, and the runs.
        table: One row a cell: mean and interval, paired difference from the first row, cost; with
            ``within`` that of the first group.
        tables: Per group its table.
        content: What ``comparison.json`` holds.
    """

    folder: Path
    table: ComparisonTable
    content: dict[str, Any]
    tables: Mapping[str, ComparisonTable] = field(default_factory=dict)

    def write_results(self, path: Path) -> None:
        """Writes the content as one JSON file, the search shortened to what was chosen."""
        kept = {key: value for key, value in self.content.items() if key not in ("search", "runs")}
        write_atomic(path, json.dumps(kept, indent=1, allow_nan=False) + "\n")

    def text(self) -> str:
        """Returns all tables and verdicts, and what was not run, as text."""
        parts = [f"{name}\n{table.text()}".lstrip() for name, table in self.tables.items()]
        if self.content["verdicts"]:
            parts.append("Published claims\n" + describe(self.content["verdicts"]))
        left = self.content["not_run"]
        if left:
            parts.append(f"not run: {len(left)} cells of the grid (run them with --cells TEXT)")
        return "\n\n".join(parts)


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
        quick: Two seeds, two rounds, no selection, of groups only the first: a rehearsal, kept apart from the
            real runs.
        cells: Only the cells whose label contains one of these, and what they are compared with.
        out: Folder for the table and the runs; by default ``runs/<name>``.
        progress: Shows each run.
        note: Told one line before each run.

    Raises:
        RequestError: If the file or one of its cells is wrong; found before anything runs.
    """
    file = read_file(Path(path))
    base = base_of(file, Path(path))
    everything = possible(grid(file.vary), file.impossible)
    if file.within is not None and file.within not in everything[0].place:
        raise RequestError(f"{path}: within is {file.within!r}{nearest(file.within, everything[0].place)}")
    picked_cells = chosen(everything, file.core, cells, file.within)
    if quick and file.within is not None:
        picked_cells = [
            c for c in picked_cells if group(c, file.within) == group(picked_cells[0], file.within)
        ]
    numbers = seeds_of(file, seeds, quick)
    selection = None if quick else file.select
    name = f"{file.name}-quick" if quick else file.name
    folder = Path(out) if out is not None else Path("runs") / name
    claims = read_claims(Path(path).parent / file.published) if file.published and not quick else ()
    plan = _Plan(base, name, str(path), QUICK_ROUNDS if quick else None)
    search = search_cells(everything, picked_cells, selection, file, numbers)
    trials = trials_of(selection)
    for cell in {c.label: c for c in [*picked_cells, *search.values()]}.values():
        for trial in trials:
            checked = plan.experiment(cell, trial, numbers[0])
            if selection is not None and checked.data.validation_fraction == 0:
                raise RequestError(
                    f"{path}: select chooses on validation data; set data.validation_fraction above 0 in base"
                )
    show, tell = progress or SilentProgress(), note or (lambda line: None)
    found: dict[tuple[str, Trial, int], Run] = {}
    tried = numbers[: selection.seeds] if selection is not None and selection.seeds else numbers
    wanted = [(cell, trial, seed) for cell in unique(search.values()) for trial in trials for seed in tried]
    if selection is None:
        wanted = []
    rest = len(picked_cells) * len(numbers)

    def run(cell: Cell, trial: Trial, seed: int, number: int, of: int) -> None:
        key = (cell.label, trial, seed)
        if key not in found:
            at = "".join(f", {path_} {value}" for path_, value in trial)
            tell(f"[{number}/{of}] {cell.label}, seed {seed}{at}")
            found[key] = Run(
                run_experiment(
                    plan.experiment(cell, trial, seed), root=folder, resume=True, progress=show, report=False
                )
            )

    for number, (cell, trial, seed) in enumerate(wanted, 1):
        run(cell, trial, seed, number, len(wanted) + rest)
    picked = {cell.label: _pick(search[cell.label], trials, tried, found, selection) for cell in picked_cells}
    for number, (cell, seed) in enumerate(itertools.product(picked_cells, numbers), len(wanted) + 1):
        run(cell, picked[cell.label], seed, number, len(wanted) + rest)
    runs = {c.label: [found[c.label, picked[c.label], seed] for seed in numbers] for c in picked_cells}
    groups: dict[str, list[Row]] = {}
    for cell in picked_cells:
        label = cell.place[file.within] if file.within else cell.label
        settings = {**cell.settings, **dict(picked[cell.label])}
        row = Row(label, [run.summary for run in runs[cell.label]], settings)
        groups.setdefault(group(cell, file.within), []).append(row)
    tables = {of: build_table(rows, file.metrics[0]) for of, rows in groups.items()}
    further = {
        f"{of} {metric}".lstrip(): build_table(rows, metric)
        for metric in file.metrics[1:]
        for of, rows in groups.items()
    }
    table = next(iter(tables.values()))
    values = {
        of: {row.label: {int(r["seed"]): float(r["test_accuracy"]) for r in row.runs} for row in rows}
        for of, rows in groups.items()
    }
    run_labels = {cell.label for cell in picked_cells}
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
        "tables": {of: entry.plain() for of, entry in tables.items()} if file.within else {},
        "further_tables": {of: entry.plain() for of, entry in further.items()},
        "accuracy": values if file.within else {},
        "verdicts": judge(claims, values),
        "not_run": [cell.label for cell in everything if cell.label not in run_labels],
        "notes": list(table.notes),
        "runs": {label: [run.summary["run_id"] for run in of] for label, of in runs.items()},
        "environment": json.loads((next(iter(found.values())).folder / "environment.json").read_text()),
    }
    write_atomic(folder / "comparison.json", json.dumps(content, indent=1, allow_nan=False) + "\n")
    write_atomic(folder / "comparison.csv", _csv(tables))
    write_comparison_report(
        {label: [run.folder for run in of] for label, of in runs.items()}, folder / "comparison.html", name
    )
    return Comparison(folder, table, content, {**tables, **further})


@dataclass(frozen=True)
class _Plan:
    """From a cell to its experiment.

    Args:
        base: The experiment that all cells share.
        name: Of the comparison.
        source: The file, for error messages.
        rounds: At most so many rounds, for a rehearsal; None for as many as the cell says.
    """

    base: Mapping[str, Any]
    name: str
    source: str
    rounds: int | None

    def experiment(self, cell: Cell, trial: Trial, seed: int) -> Experiment:
        settings = {**cell.settings, **dict(trial), "seed": seed, "name": self.name}
        made = experiment(override(self.base, settings), source=f"{self.source}, cell {cell.label!r}")
        if self.rounds is None or made.federation.rounds <= self.rounds:
            return made
        settings["federation.rounds"] = self.rounds
        return experiment(override(self.base, settings), source=f"{self.source}, cell {cell.label!r}")


def _csv(tables: Mapping[str, ComparisonTable]) -> str:
    """Returns the tables as one CSV, with the group as first column where there are several."""
    if list(tables) == [""]:
        return tables[""].csv()
    lines: list[str] = []
    for name, table in tables.items():
        head, *rows = table.csv().splitlines()
        lines = lines or [f"group,{head}"]
        quoted = '"' + name.replace('"', '""') + '"'
        lines += [f"{quoted},{row}" for row in rows]
    return "\n".join(lines) + "\n"


def _pick(
    cell: Cell,
    trials: Sequence[Trial],
    seeds: Sequence[int],
    found: Mapping[tuple[str, Trial, int], Run],
    selection: Selection | None,
) -> Trial:
    """Returns the settings with the best mean validation measure; the first of equals."""
    if selection is None:
        return trials[0]
    sign = -1.0 if selection.by == "validation_loss" else 1.0

    def mean(trial: Trial) -> float:
        return sign * mean_of([float(found[cell.label, trial, seed].summary[selection.by]) for seed in seeds])

    return max(trials, key=mean)

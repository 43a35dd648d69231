"""The comparison table: cells in rows, means with intervals, paired differences, what each one costs.

One plain structure (:class:`ComparisonTable`) is written to the terminal, to CSV and to HTML. The CSV has one
number a column under names that never change (:data:`COLUMNS`); terminal and HTML join a mean with its
interval in one cell.
"""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from qfedfm.core.errors import RequestError
from qfedfm.core.random import Streams
from qfedfm.experiment import quantities
from qfedfm.experiment.statistics import (
    EXACT_UP_TO,
    Estimate,
    PairedDifference,
    holm,
    mean_interval,
    paired_difference,
)

if TYPE_CHECKING:
    from rich.table import Table as RichTable

COLUMNS = (
    "cell",
    "runs",
    "mean",
    "mean_low",
    "mean_high",
    "difference",
    "difference_low",
    "difference_high",
    "pairs",
    "p_t",
    "p_corrected",
    "p_sign_flip",
    "trainable_parameters",
    "quantum_parameters",
    "bytes",
    "seconds",
)
"""The CSV's columns, in order. Bytes are up and down together; bytes and seconds are means over runs."""

SHOWN = (
    "cell",
    "runs",
    "mean [95 %]",
    "difference [95 %]",
    "p (Holm)",
    "p (sign flip)",
    "parameters",
    "quantum",
    "bytes",
    "time",
)
"""The columns for people, in order."""


@dataclass(frozen=True)
class Row:
    """One cell of a comparison, before it is compared.

    Args:
        label: How it is called.
        runs: The ``summary.json`` of its runs, one a seed.
        settings: What sets it apart, by key path.
    """

    label: str
    runs: Sequence[Mapping[str, Any]]
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ComparisonTable:
    """A comparison.

    Args:
        metric: Which number of the summaries is compared.
        rows: One mapping a cell with the keys of :data:`COLUMNS`; None where there is no number.
        settings: What sets each row apart, by key path.
        notes: Sentences that belong under the table.
    """

    metric: str
    rows: tuple[Mapping[str, Any], ...]
    settings: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...]

    def plain(self) -> list[dict[str, Any]]:
        """Returns JSON-ready rows with the keys of :data:`COLUMNS` and ``settings``."""
        return [
            {**row, "settings": dict(settings)}
            for row, settings in zip(self.rows, self.settings, strict=True)
        ]

    def shown(self) -> list[tuple[str, ...]]:
        """Returns the rows as people read them, in the order of :data:`SHOWN`."""
        return [_words(row, first=i == 0) for i, row in enumerate(self.rows)]

    def csv(self) -> str:
        """Returns the table as CSV, full precision, empty where there is no number."""
        stream = io.StringIO()
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in self.rows:
            writer.writerow({key: "" if row[key] is None else row[key] for key in COLUMNS})
        return stream.getvalue()

    def fragment(self) -> str:
        """Returns the table as an HTML fragment, everything escaped, without style of its own."""
        number = ' class="number"'
        head = "".join(
            f'<th scope="col"{number if i else ""}>{html.escape(name)}</th>' for i, name in enumerate(SHOWN)
        )
        body = "".join(
            f'<tr><th scope="row">{html.escape(name)}</th>'
            + "".join(f"<td{number}>{html.escape(value)}</td>" for value in rest)
            + "</tr>"
            for name, *rest in self.shown()
        )
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        return (
            '<div class="scroll" tabindex="0"><table>'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
            f'<div class="notes">{notes}</div>'
        )

    def html(self, title: str) -> str:
        """Returns the table as one self-contained HTML page."""
        from qfedfm.experiment.report.page import document, heading, section

        return document(title, heading("comparison", title), [section("table", "Table", self.fragment())])

    def rich(self) -> RichTable:
        """Returns the table for a rich console."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        result = Table(
            title=f"Comparison by {self.metric}",
            caption="\n".join(self.notes),
            box=box.SIMPLE_HEAD,
            title_justify="left",
            caption_justify="left",
        )
        for i, name in enumerate(SHOWN):
            result.add_column(name, justify="right" if i else "left", no_wrap=i > 0)
        for row in self.shown():
            result.add_row(*(Text(value) for value in row))
        return result

    def text(self, width: int = 400) -> str:
        """Returns the table as plain text, as wide as it needs but at most ``width`` columns."""
        from rich.console import Console

        stream = io.StringIO()
        Console(file=stream, width=width, color_system=None, force_terminal=False).print(self.rich())
        return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()).strip("\n")


def build_table(rows: Sequence[Row], metric: str = "test_accuracy") -> ComparisonTable:
    """Builds the table; every row after the first is compared with the first on the seeds both ran.

    Args:
        rows: The cells, in the order of the rows.
        metric: A key of the summaries.

    Raises:
        RequestError: If there is no cell, two have one label, a cell has no run or a seed twice, or a
            summary lacks the metric.
    """
    if not rows:
        raise RequestError("there is nothing to compare: no cell has a finished run")
    if len({row.label for row in rows}) < len(rows):
        raise RequestError("two cells of the comparison have the same label; give each its own")
    values = [_by_seed(row, metric) for row in rows]
    pairs: list[PairedDifference | None] = [None]
    counts: list[int | None] = [None]
    for row, mine in zip(rows[1:], values[1:], strict=True):
        shared = sorted(set(values[0]) & set(mine))
        draws = Streams(0)("comparison", row.label) if len(shared) > EXACT_UP_TO else None
        first, other = [values[0][seed] for seed in shared], [mine[seed] for seed in shared]
        pairs.append(paired_difference(first, other, draws) if shared else None)
        counts.append(len(shared))
    corrected = holm([pair.p_t if pair else None for pair in pairs])
    finished = []
    for row, mine, pair, p, count in zip(rows, values, pairs, corrected, counts, strict=True):
        mean = mean_interval(list(mine.values()))
        difference = pair.difference if pair else Estimate(None)
        numbers = (
            row.label,
            len(row.runs),
            mean.value,
            mean.low,
            mean.high,
            difference.value,
            difference.low,
            difference.high,
            count,
            pair.p_t if pair else None,
            p,
            pair.p_sign_flip if pair else None,
            _mean(row.runs, "trainable_parameters"),
            _mean(row.runs, "quantum_parameters"),
            _mean(row.runs, "upload_bytes", "download_bytes"),
            _mean(row.runs, "seconds"),
        )
        finished.append(dict(zip(COLUMNS, numbers, strict=True)))
    notes = _notes(metric, finished, pairs, rows[0].label)
    return ComparisonTable(metric, tuple(finished), tuple(row.settings for row in rows), notes)


def _words(row: Mapping[str, Any], first: bool) -> tuple[str, ...]:
    mean = quantities.decimal(row["mean"])
    if row["mean_low"] is not None:
        mean += f" {quantities.interval(row['mean_low'], row['mean_high'])}"
    difference = "reference" if first else quantities.signed(row["difference"])
    if row["difference_low"] is not None:
        ends = quantities.signed(row["difference_low"]), quantities.signed(row["difference_high"])
        difference += f" [{ends[0]}, {ends[1]}]"
    return (
        str(row["cell"]),
        str(row["runs"]),
        mean,
        difference,
        quantities.probability(row["p_corrected"]),
        quantities.probability(row["p_sign_flip"]),
        quantities.count(row["trainable_parameters"]),
        quantities.count(row["quantum_parameters"]),
        quantities.size(row["bytes"]),
        quantities.duration(row["seconds"]),
    )


def _by_seed(row: Row, metric: str) -> dict[int, float]:
    name, runs = row.label, row.runs
    if not runs:
        raise RequestError(f"the cell {name!r} has no finished run to compare")
    result: dict[int, float] = {}
    for run in runs:
        value = run.get(metric)
        if not isinstance(value, int | float) or isinstance(value, bool) or value != value:
            raise RequestError(f"a run of the cell {name!r} has no number {metric!r} in its summary")
        if run["seed"] in result:
            raise RequestError(f"the cell {name!r} holds two runs of seed {run['seed']}; give each seed once")
        result[int(run["seed"])] = float(value)
    return dict(sorted(result.items()))


def _mean(runs: Sequence[Mapping[str, Any]], *keys: str) -> float | int | None:
    """Returns the mean over runs of the sum of ``keys``; a whole number where it is one."""
    if any(run.get(key) is None for run in runs for key in keys):
        return None
    mean = sum(float(run[key]) for run in runs for key in keys) / len(runs)
    return int(mean) if mean.is_integer() and keys != ("seconds",) else mean


def _notes(
    metric: str,
    rows: Sequence[Mapping[str, Any]],
    pairs: Sequence[PairedDifference | None],
    first: str,
) -> tuple[str, ...]:
    notes = []
    if any(row["mean_low"] is not None for row in rows):
        notes.append(f"{metric}: mean over seeds with Student's 95 % interval.")
    else:
        notes.append(f"{metric}: mean over seeds; one seed, or equal values, give no interval.")
    if len(rows) > 1:
        tested = sum(pair is not None and pair.p_t is not None for pair in pairs)
        notes.append(
            f"Differences are from {first}, paired by seed; "
            + (
                f"p is the paired t-test, corrected for {tested} "
                f"{'comparison' if tested == 1 else 'comparisons'} (Holm)."
                if tested
                else "no t-test is possible with fewer than two pairs or equal differences."
            )
        )
    smallest = [pair.smallest_p for pair in pairs if pair and pair.smallest_p is not None]
    if smallest:
        notes.append(
            "The sign-flip test is exact and not corrected; with so few seeds it cannot go below "
            f"{min(smallest):.3g}."
            if min(smallest) > 0.01
            else "The sign-flip test is a permutation test and not corrected."
        )
    unpaired = [str(row["cell"]) for row in rows[1:] if row["pairs"] == 0]
    if unpaired:
        notes.append(f"No seed in common with {first}: {', '.join(unpaired)}.")
    return tuple(notes)

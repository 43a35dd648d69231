"""The report of several runs side by side: groups of seeds, curves with intervals, the table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qfedfm.core.errors import RequestError
from qfedfm.core.files import write_atomic
from qfedfm.experiment import quantities, tables
from qfedfm.experiment.report.bars import Row, forest
from qfedfm.experiment.report.lines import Line, line_chart
from qfedfm.experiment.report.page import (
    cards,
    document,
    figure,
    flat,
    folded,
    heading,
    section,
    table,
    warning,
)
from qfedfm.experiment.report.records import Records, read
from qfedfm.experiment.report.svg import escape
from qfedfm.experiment.statistics import mean_interval

MOST_CURVES = 8
_NOT_OPTIONS = ("name", "seed", "track")


def write_comparison_report(
    runs: Mapping[str, Sequence[Path]] | Sequence[Path], output: Path, title: str = "Comparison"
) -> Path:
    """Writes one HTML file that sets runs side by side.

    Args:
        runs: Folders by the name of their group, or folders alone, which :func:`group_runs` groups.
            A group is one configuration under several seeds; the first group is compared with.
        output: The file to write.
        title: Its heading.

    Returns:
        ``output``.

    Raises:
        RequestError: If a folder holds no run, a group is empty or holds a seed twice.
    """
    groups = dict(runs) if isinstance(runs, Mapping) else group_runs(runs)
    records = {name: [read(Path(folder)) for folder in folders] for name, folders in groups.items()}
    for name, members in records.items():
        if not members:
            raise RequestError(f"the group {name!r} has no run")
    write_atomic(Path(output), render(records, title))
    return Path(output)


def group_runs(folders: Sequence[Path]) -> dict[str, list[Path]]:
    """Groups runs that differ in nothing but name, seed and trackers; first come, first named.

    A group is named by the options in which the groups differ, ``linear`` or ``lr 0.01, rank 4``; a single
    group by the name of its runs.

    Raises:
        RequestError: If a folder holds no run, or one is given twice.
    """
    unique = {Path(folder).resolve(): Path(folder) for folder in folders}
    if len(unique) < len(folders):
        raise RequestError("a run is given twice; give each run's folder once")
    members: dict[str, list[Path]] = {}
    options: dict[str, dict[str, Any]] = {}
    names: dict[str, str] = {}
    for folder in unique.values():
        run = read(folder)
        kept = {key: value for key, value in run.config.items() if key not in _NOT_OPTIONS}
        key = json.dumps(kept, sort_keys=True, default=str)
        members.setdefault(key, []).append(folder)
        options.setdefault(key, dict(flat(kept)))
        names.setdefault(key, run.name)
    labels = _labels(list(options.values())) if len(options) > 1 else list(names.values())
    if len(set(labels)) < len(labels):
        labels = [f"{label} #{i}" for i, label in enumerate(labels, 1)]
    return dict(zip(labels, members.values(), strict=True))


def _labels(options: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names every configuration by its values of the options that are not the same in all."""
    keys = [key for key in dict.fromkeys(k for o in options for k in o)]
    varied = [key for key in keys if len({json.dumps(o.get(key), default=str) for o in options}) > 1]
    kinds = [key for key in varied if key.endswith(".kind")]
    # The other options of a union differ because its kind does; they are left out where the kind tells.
    if kinds:
        told = {kind.removesuffix("kind") for kind in kinds}
        varied = kinds + [k for k in varied if k not in kinds and not any(k.startswith(t) for t in told)]
    candidates = [_label(o, varied) for o in options]
    if len(set(candidates)) < len(candidates):
        keys = [key for key in keys if len({json.dumps(o.get(key), default=str) for o in options}) > 1]
        candidates = [_label(o, keys) for o in options]
    return candidates


def _label(options: Mapping[str, Any], keys: Sequence[str]) -> str:
    if len(keys) == 1 and keys[0].endswith(".kind"):
        return str(options.get(keys[0], "none"))
    parts = []
    for key in keys:
        if key in options:
            owner, _, last = key.rpartition(".")
            name = owner.rpartition(".")[2] if last == "kind" else last
            parts.append(f"{name} {options[key]}")
    return ", ".join(parts)


def render(records: Mapping[str, Sequence[Records]], title: str) -> str:
    """Returns the comparison as HTML."""
    finished = {name: [r for r in members if r.complete] for name, members in records.items()}
    rows = [
        tables.Row(name, [member.summary for member in members])
        for name, members in finished.items()
        if members
    ]
    compared = tables.build_table(rows) if rows else None
    missing = [str(m.folder.name) for members in records.values() for m in members if not m.complete]
    notes = warning(f"Not complete, so only in the curves: {', '.join(missing)}.") if missing else ""
    total = sum(len(members) for members in records.values())
    seeds = sorted({int(m.option("seed", 0)) for members in records.values() for m in members})
    lede = f"{len(records)} configurations, {total} runs, seeds {', '.join(map(str, seeds))}"
    sections = [
        section("result", "Result", _result(compared, rows) if compared else ""),
        section("learning", "Learning", _learning(records)),
        section("differences", "What differs", _differences(records)),
        section("runs", "Runs", _runs(records)),
    ]
    return document(f"{title} · qfedfm", heading("qfedfm comparison", title, lede) + notes, sections)


def _result(compared: tables.ComparisonTable, rows: Sequence[tables.Row]) -> str:
    means, differences = [], []
    for found, row in zip(compared.rows, rows, strict=True):
        singles = [float(run[compared.metric]) for run in row.runs]
        several = f"{len(singles)} run{'' if len(singles) == 1 else 's'}"
        means.append(Row(row.label, found["mean"], found["mean_low"], found["mean_high"], singles, several))
        if found["difference"] is not None:
            ends = found["difference_low"], found["difference_high"]
            words = f"p {quantities.probability(found['p_corrected'])} (Holm)"
            differences.append(Row(row.label, found["difference"], *ends, words=words))
    return (
        cards(
            [
                figure(
                    "Test accuracy",
                    forest("Test accuracy by configuration", means, "test accuracy"),
                    "Dots are means over seeds, bars 95 % intervals, rings single runs.",
                ),
                figure(
                    f"Difference from {rows[0].label}",
                    forest(
                        "Paired difference in test accuracy",
                        differences,
                        "difference in test accuracy",
                        zero=True,
                        first_colour=1,
                    ),
                    "Paired by seed; bars are 95 % intervals, not corrected for the number of comparisons.",
                ),
            ]
        )
        + f'<div class="card">{compared.fragment()}</div>'
    )


def _learning(records: Mapping[str, Sequence[Records]]) -> str:
    shown = list(records.items())[:MOST_CURVES]
    more = len(records) - len(shown)
    caption = "Means over seeds; bands are 95 % intervals where a configuration has at least two."
    if more > 0:
        caption += f" The first {MOST_CURVES} of {len(records)} configurations."
    charts = []
    for key, name, unit, limits in (
        ("test_accuracy", "Test accuracy", "accuracy", (0.0, 1.0)),
        ("test_loss", "Test loss", "cross-entropy, nats", None),
        ("train_loss", "Training loss", "cross-entropy, nats", None),
    ):
        lines = [_mean_line(label, members, key, i) for i, (label, members) in enumerate(shown)]
        charts.append(figure(name, line_chart(f"{name} by round", lines, unit, limits=limits), caption))
    return cards(charts, roomy=True)


def _mean_line(name: str, members: Sequence[Records], key: str, colour: int) -> Line:
    """Returns the mean over the runs that have the round, with an interval where there are several."""
    values: dict[int, list[float]] = {}
    for member in members:
        for number, value in member.curve(key):
            values.setdefault(number, []).append(value)
    points, band = [], []
    for number, found in sorted(values.items()):
        try:
            mean = mean_interval(found)
        except ValueError:  # a run diverged: there is no mean in this round
            continue
        assert mean.value is not None
        points.append((number, mean.value))
        if mean.interval:
            band.append((number, *mean.interval))
    return Line(name, points, band, colour)


def _differences(records: Mapping[str, Sequence[Records]]) -> str:
    """Returns the options in which the configurations differ."""
    flats = [
        dict(flat({k: v for k, v in members[0].config.items() if k not in _NOT_OPTIONS}))
        for members in records.values()
    ]
    keys = [key for key in dict.fromkeys(k for f in flats for k in f)]
    varied = [key for key in keys if len({json.dumps(f.get(key, "–"), default=str) for f in flats}) > 1]
    if not varied:
        return ""
    rows = [(key, *(str(f.get(key, "–")) for f in flats)) for key in varied]
    return f'<div class="card">{table(("option", *records), rows, text_columns=len(flats) + 1)}</div>'


def _runs(records: Mapping[str, Sequence[Records]]) -> str:
    rows = [
        (
            label,
            member.folder.name,
            member.option("seed", 0),
            quantities.decimal(member.summary.get("test_accuracy")),
            quantities.decimal(member.summary.get("test_loss")),
            quantities.count(member.summary.get("rounds")),
            quantities.duration(member.summary.get("seconds")),
        )
        for label, members in records.items()
        for member in members
    ]
    columns = ("configuration", "run", "seed", "accuracy", "loss", "rounds", "time")
    first = next(iter(records.values()))[0]
    config = folded(
        f"Complete configuration of {first.folder.name}",
        f'<pre tabindex="0">{escape(first.config_text.strip())}</pre>',
    )
    return folded(f"All {len(rows)} runs", table(columns, rows, text_columns=2)) + config

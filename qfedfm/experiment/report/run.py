"""The report of one run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qfedfm.core.files import write_atomic
from qfedfm.experiment import quantities
from qfedfm.experiment.report.bars import gauge
from qfedfm.experiment.report.channel import channel
from qfedfm.experiment.report.cost import cost, numbers, participation
from qfedfm.experiment.report.exactness import exactness
from qfedfm.experiment.report.learning import circuit, classes, clients, learning
from qfedfm.experiment.report.page import document, facts, folded, heading, section, tiles, warning
from qfedfm.experiment.report.records import Records, read
from qfedfm.experiment.report.summation import summation
from qfedfm.experiment.report.svg import escape


def write_report(run_folder: Path) -> Path:
    """Writes ``report.html`` into a run's folder; an interrupted run gets one of what is there.

    Args:
        run_folder: The folder.

    Returns:
        The report's path.

    Raises:
        RequestError: If the folder is not one of a run, or a record in it is damaged.
    """
    records = read(Path(run_folder))
    path = records.folder / "report.html"
    write_atomic(path, render(records))
    return path


def render(records: Records) -> str:
    """Returns the report as HTML."""
    sections = [
        section("learning", "Learning", learning(records)),
        section("exactness", "Aggregation", exactness(records)),
        section("classes", "Classes", classes(records)),
        section("clients", "Clients", clients(records)),
        section("circuit", "Circuit", circuit(records)),
        section("cost", "Cost", cost(records)),
        section("channel", "Channel", channel(records)),
        section("sum", "Sum protocol", summation(records)),
        section("participation", "Participation", participation(records)),
        section("rounds", "Numbers by round", numbers(records)),
        section("setup", "Configuration and environment", _setup(records)),
        section("reproduce", "How to reproduce", _reproduce(records)),
    ]
    run_id = str(records.summary.get("run_id", ""))
    foot = f"qfedfm {escape(_version(records))}" + (f" · run {escape(run_id)}" if run_id else "")
    return document(f"{records.name} · qfedfm report", _head(records), sections, foot)


def _version(records: Records) -> str:
    packages = records.environment.get("packages")
    return str(packages.get("qfedfm", "")) if isinstance(packages, Mapping) else ""


def _head(records: Records) -> str:
    words = [
        str(records.option("data.source", "")),
        _partition(records),
        str(records.option("model.backbone", "")),
        _kind("adapter", records.option("model.adapter")),
        _kind("head", records.option("model.head")),
        str(records.option("aggregation.kind", "")),
        f"seed {records.option('seed', 0)}",
    ]
    notes = "".join(warning(str(words)) for words in records.clients.get("warnings", ()))
    if not records.complete:
        done = int(records.rounds[-1]["round"]) if records.rounds else 0
        total = records.option("federation.rounds", "?")
        notes = warning(f"This run is not complete: {done} of {total} rounds are recorded.") + notes
    lede = " · ".join(word for word in words if word)
    return heading("qfedfm run", records.name, lede) + notes + _headline(records)


def _partition(records: Records) -> str:
    options = records.option("data.partition")
    if not isinstance(options, Mapping):
        return ""
    rest = [
        f"{key} {value}"
        for key, value in options.items()
        if key not in ("kind", "clients", "min_samples") and not isinstance(value, Mapping | list)
    ]
    clients = options.get("clients") or len(records.clients.get("sizes", ())) or "?"
    return f"{clients} clients, {options.get('kind', '?')}" + (f" ({', '.join(rest)})" if rest else "")


def _kind(name: str, options: Any) -> str:
    if not isinstance(options, Mapping) or "kind" not in options:
        return ""
    if options["kind"] == "none":
        return f"no {name}"
    wanted = ("rank", "qubits", "layers", "family", "width", "last_layers")
    rest = [f"{key.replace('_', ' ')} {options[key]}" for key in wanted if options.get(key) is not None]
    return f"{str(options['kind']).replace('_', ' ')} {name}" + (f" ({', '.join(rest)})" if rest else "")


def _headline(records: Records) -> str:
    summary = records.summary
    curve = records.curve("test_accuracy")
    accuracy = summary.get("test_accuracy", curve[-1][1] if curve else None)
    if accuracy is None:
        return ""
    low, high = summary.get("test_accuracy_interval") or (None, None)
    majority = summary.get("majority_accuracy")
    around = f"95 % interval {quantities.decimal(low)} to {quantities.decimal(high)} (Wilson)" if high else ""
    if summary.get("test_examples"):
        around += f", {quantities.count(summary['test_examples'])} test examples"
    marks = (
        [(float(majority), f"largest class {quantities.decimal(majority)}")] if majority is not None else []
    )
    ahead = ""
    if majority is not None:
        points = 100 * (float(accuracy) - float(majority))
        ahead = f"{quantities.signed(points, 1)} points over always answering the largest class"
    main = (
        '<div class="card"><div class="main-name">Test accuracy</div>'
        f'<div class="main-number">{escape(quantities.decimal(accuracy))}</div>'
        f'<div class="main-name">{escape(around)}</div>{gauge(float(accuracy), low, high, marks)}'
        f'<p class="caption">{escape(ahead)}</p></div>'
    )
    sent = sum(line.get("upload_bytes", 0) for line in records.rounds)
    received = sum(line.get("download_bytes", 0) for line in records.rounds)
    refused = sum(len(line.get("refused", ())) for line in records.rounds)
    seconds = summary.get("seconds", sum(line.get("seconds", 0.0) for line in records.timings))
    validation = summary.get("validation_accuracy")
    error = (records.scores.get("calibration_error") or {}).get("value")
    around_f1, around_error = _around(records, "macro_f1"), _around(records, "calibration_error")
    entries = [
        ("Majority accuracy", quantities.decimal(majority), "on the same test examples"),
        ("Macro-F1", quantities.decimal(summary.get("test_macro_f1")), around_f1),
        ("Calibration error", quantities.decimal(error), around_error) if error is not None else None,
        ("Validation accuracy", quantities.decimal(validation), "") if validation is not None else None,
        ("Trained parameters", quantities.count(summary.get("trainable_parameters")), ""),
        ("Quantum parameters", quantities.count(summary.get("quantum_parameters")), "circuit weights"),
        (
            "Bytes",
            quantities.size(sent + received),
            f"{quantities.size(sent)} up, {quantities.size(received)} down",
        ),
        ("Time", quantities.duration(seconds), "rounds, without preparation"),
        (
            "Rounds",
            quantities.count(records.last_round),
            f"{quantities.count(_steps(records))} local steps",
        ),
        ("Training examples", quantities.count(summary.get("train_examples")), _of_classes(records)),
        ("Refused updates", quantities.count(refused), ""),
    ]
    return f'<div class="headline">{main}<div class="card">{tiles([e for e in entries if e])}</div></div>'


def _around(records: Records, key: str) -> str:
    estimate = records.scores.get(key) or {}
    return "" if estimate.get("low") is None else quantities.interval(estimate["low"], estimate["high"])


def _steps(records: Records) -> int:
    return sum(int(line.get("steps", 0)) for line in records.rounds)


def _of_classes(records: Records) -> str:
    names = records.clients.get("label_names", ())
    return f"{len(names)} classes" if names else ""


def _setup(records: Records) -> str:
    config = folded(
        "Complete configuration (config.yaml)",
        f'<pre tabindex="0">{escape(records.config_text.strip())}</pre>',
    )
    return config + (folded("Environment", facts(records.environment)) if records.environment else "")


def _reproduce(records: Records) -> str:
    version, commit = _version(records), records.environment.get("git_commit")
    threads, device = records.environment.get("threads", "?"), records.environment.get("device", "?")
    words = (
        f"With qfedfm {version}{f', commit {commit}' if commit else ''} and the versions under Environment. "
        f"The same seed ({records.option('seed', 0)}), machine and thread count give the same bits; this run "
        f"used {threads} threads on {device}. Everything it needs is in the configuration above."
    )
    return (
        f'<pre class="command" tabindex="0">qfedfm run {escape(records.folder.name)}/config.yaml</pre>'
        f'<p class="caption">{escape(words)}</p>'
    )

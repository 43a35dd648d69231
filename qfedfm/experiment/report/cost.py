"""What a run cost and who took part: bytes, seconds, refusals, the numbers of every round."""

from __future__ import annotations

from qfedfm.experiment import quantities
from qfedfm.experiment.report.bars import stacked_bars
from qfedfm.experiment.report.lines import Line, line_chart
from qfedfm.experiment.report.page import cards, figure, folded, table
from qfedfm.experiment.report.records import Records
from qfedfm.experiment.report.svg import escape

MOST_REFUSALS = 200


def cost(records: Records) -> str:
    """Returns bytes and seconds by round."""
    rounds = [line for line in records.rounds if line["round"] > 0]
    numbers = [int(line["round"]) for line in rounds]
    sent = [("upload", "upload_bytes"), ("download", "download_bytes")]
    timings = records.timings
    spent = [("training", "train_seconds"), ("combining", "aggregate_seconds")]
    spent += [("evaluation", "evaluate_seconds"), ("checkpoint", "checkpoint_seconds")]
    norm = Line("norm", records.curve("update_norm"), colour=3)
    return cards(
        [
            figure(
                "Bytes",
                stacked_bars(
                    "Bytes by round",
                    numbers,
                    [(name, [float(line.get(key, 0)) for line in rounds]) for name, key in sent],
                    "bytes, all clients",
                    quantities.size,
                ),
                "What crosses the wire, header included, over all clients of the round.",
            ),
            figure(
                "Time",
                stacked_bars(
                    "Seconds by round",
                    [int(line["round"]) for line in timings],
                    [(name, [float(line.get(key, 0.0)) for line in timings]) for name, key in spent],
                    "seconds",
                    quantities.duration,
                ),
                "On one machine, all clients of the round together.",
            ),
            figure(
                "Size of the combined update",
                line_chart("Norm of the combined update by round", [norm], "Euclidean norm"),
                "How far one round moves the model.",
            )
            if len(norm.points) > 1
            else "",
        ]
    )


def participation(records: Records) -> str:
    """Returns who answered, dropped out, was late or was refused."""
    rounds = [line for line in records.rounds if line["round"] > 0]
    if not rounds:
        return ""
    late = [len(set(line.get("stragglers", ())) & set(line.get("participants", ()))) for line in rounds]
    counts = {
        "complete": [len(line.get("participants", ())) - n for line, n in zip(rounds, late, strict=True)],
        "dropped": [len(line.get("dropped", ())) for line in rounds],
        "refused": [len(line.get("refused", ())) for line in rounds],
        "late": late,
    }
    refusals = [
        (line["round"], entry.get("client", "?"), entry.get("reason", "?"))
        for line in rounds
        for entry in line.get("refused", ())
    ]
    if not any(sum(counts[key]) for key in ("late", "dropped", "refused")):
        mean = sum(counts["complete"]) / len(rounds)
        return (
            f'<p class="lede">Every chosen client answered in time and no update was refused '
            f"({mean:.3g} clients a round).</p>"
        )
    together = ", ".join(f"{quantities.count(sum(values))} {name}" for name, values in counts.items())
    chart = figure(
        "Clients of each round",
        stacked_bars(
            "Clients by round",
            [int(line["round"]) for line in rounds],
            [(name, [float(v) for v in values]) for name, values in counts.items()],
            "clients",
            lambda value: f"{value:g}",
        ),
        f"In total: {together}. Late clients finished only a part of their steps; their updates count.",
    )
    listed = ""
    if refusals:
        more = len(refusals) - MOST_REFUSALS
        after = f" (the first {MOST_REFUSALS}; {more} more are in rounds.jsonl)" if more > 0 else ""
        listed = (
            f'<div class="card"><h3>Refused updates{escape(after)}</h3>'
            + table(("round", "client", "reason"), refusals[:MOST_REFUSALS], text_columns=3)
            + "</div>"
        )
    return cards([chart, listed])


def numbers(records: Records) -> str:
    """Returns every round's numbers as a folded table."""
    if not records.rounds:
        return ""
    seconds = {line["round"]: line.get("seconds") for line in records.timings}
    wanted = ("train_loss", "test_loss", "test_accuracy", "validation_loss", "validation_accuracy")
    keys = [key for key in wanted if any(line.get(key) is not None for line in records.rounds)]
    rows = [
        (
            line["round"],
            *(quantities.decimal(line.get(key), 4) for key in keys),
            quantities.count(len(line["participants"]) if "participants" in line else None),
            quantities.size(line.get("upload_bytes")),
            quantities.size(line.get("download_bytes")),
            quantities.duration(seconds.get(line["round"])),
        )
        for line in records.rounds
    ]
    columns = ("round", *(key.replace("_", " ") for key in keys), "clients", "upload", "download", "time")
    return folded(f"All {len(rows)} lines", table(columns, rows))

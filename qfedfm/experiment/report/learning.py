"""What a run learned and on what: curves, classes, clients, the circuit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from qfedfm.core.errors import QfedfmError
from qfedfm.experiment import quantities
from qfedfm.experiment.report.bars import Row, dots
from qfedfm.experiment.report.heatmap import heat_map
from qfedfm.experiment.report.lines import Line, line_chart
from qfedfm.experiment.report.page import cards, facts, figure, folded, table, warning
from qfedfm.experiment.report.records import Records
from qfedfm.experiment.report.svg import escape
from qfedfm.experiment.statistics import wilson

if TYPE_CHECKING:
    from qfedfm.circuits import Circuit

FEW_CLIENTS = 24
"""Up to so many, the accuracy by client fits beside the curves."""
MOST_CLASSES = 24
"""More than these are folded away, and the confusion matrix is left to scores.json."""
CIRCUIT_HEADS = ("quantum", "frozen_quantum", "unentangled")


def learning(records: Records) -> str:
    """Returns the curves of accuracy and loss."""
    curves = [("test", "test_", 0), ("train", "train_", 1), ("validation", "validation_", 2)]
    loss = [Line(name, records.curve(f"{key}loss"), colour=c) for name, key, c in curves]
    accuracy = [Line(name, records.curve(f"{key}accuracy"), colour=c) for name, key, c in curves]
    majority = records.summary.get("majority_accuracy")
    summary_end = _accuracy_end(records)
    if summary_end:
        accuracy[0] = Line("test", accuracy[0].points, band=[summary_end], colour=0)
    return cards(
        [
            figure(
                "Accuracy",
                line_chart(
                    "Accuracy by round",
                    accuracy,
                    "accuracy",
                    reference=(float(majority), f"largest class {majority:.3f}")
                    if majority is not None
                    else None,
                    limits=(0.0, 1.0),
                ),
                "Test examples belong to no client. The bar at the end is its 95 % interval."
                if summary_end
                else "Test examples belong to no client.",
            ),
            figure(
                "Loss",
                line_chart("Loss by round", loss, "cross-entropy, nats"),
                "The training loss is the mean over the round's local steps, while parameters still move.",
            ),
            _by_client(records) if _few_clients(records) else "",
        ]
    )


def _accuracy_end(records: Records) -> tuple[int, float, float] | None:
    ends, last = records.summary.get("test_accuracy_interval"), records.last_round
    return (last, float(ends[0]), float(ends[1])) if ends and last is not None else None


def classes(records: Records) -> str:
    """Returns scores by class and the confusion matrix."""
    entries = records.scores.get("per_class") or []
    if not entries:
        return ""

    def words(estimate: Mapping[str, Any]) -> str:
        around = (
            f" {quantities.interval(estimate['low'], estimate['high'], 2)}"
            if estimate["low"] is not None
            else ""
        )
        return quantities.decimal(estimate["value"]) + around

    rows = [
        (e["name"], quantities.count(e["support"]), words(e["precision"]), words(e["recall"]), words(e["f1"]))
        for e in entries
    ]
    per_class = table(("class", "test examples", "precision", "recall", "F1"), rows)
    unseen = records.scores.get("unseen") or []
    below = "95 % bootstrap intervals; no interval where every resample gives the same value."
    if unseen:
        below += f" Never seen in training, so always wrong: {', '.join(map(str, unseen))}."
    names, counts = records.scores["label_names"], records.scores["confusion"]
    confusion = ""
    if 1 < len(counts[0]) <= MOST_CLASSES:
        rows_ = [(n, *(quantities.count(v) for v in row)) for n, row in zip(names, counts, strict=True)]
        confusion = folded(
            "Confusion matrix (rows: true, columns: predicted)",
            table(("true class", *names[: len(counts[0])]), rows_),
        )
    if len(entries) > MOST_CLASSES:
        return folded(
            f"Scores of {len(entries)} classes", f'{per_class}<p class="caption">{escape(below)}</p>'
        )
    return f'<div class="card">{per_class}<p class="caption">{escape(below)}</p></div>{confusion}'


def clients(records: Records) -> str:
    """Returns who holds what, and the accuracy by client where it does not fit beside the curves."""
    names, counts = records.clients.get("label_names") or [], records.clients.get("table") or []
    partition = figure(
        "Who holds what",
        heat_map(counts, [str(name) for name in names]),
        "Examples of every class (rows) at every client (columns); the darker, the larger the class's "
        "share of the client. Bars on top: examples of the client.",
        class_="wide",
    )
    duplicates = records.clients.get("duplicates")
    about = ""
    if isinstance(duplicates, Mapping) and duplicates:
        about = folded("Texts held by more than one client", facts(duplicates))
    return cards([partition]) + ("" if _few_clients(records) else cards([_by_client(records)])) + about


def _few_clients(records: Records) -> bool:
    return len(records.clients.get("accuracy") or ()) <= FEW_CLIENTS


def _by_client(records: Records) -> str:
    """Returns the final model's accuracy on each client's examples."""
    entries = records.clients.get("accuracy") or []
    overall = records.summary.get("test_accuracy")
    if not entries or overall is None:
        return ""
    rows = []
    for entry in entries:
        total, share = int(entry["examples"]), float(entry["accuracy"])
        low, high = wilson(round(share * total), total).interval or (None, None)
        rows.append(Row(str(entry["client"]), share, low, high, words=f"{quantities.count(total)} examples"))
    on = "validation" if entries[0].get("on") == "validation" else "own training"
    caption = f"The final model on each client's {on} examples, with 95 % Wilson intervals."
    more = len(records.clients.get("sizes") or ()) - len(entries)
    if more > 0:
        caption += f" The first {len(entries)} clients; {quantities.count(more)} more are not drawn."
    wide = not _few_clients(records)
    reference = (float(overall), f"all test examples {float(overall):.3f}")
    drawing = dots("Accuracy by client", rows, "accuracy", "client", reference, wide=wide)
    return figure("Accuracy by client", drawing, caption, class_="wide" if wide else "")


def recorded_circuit(head: Mapping[str, Any]) -> Circuit:
    """Returns the circuit that the options of a head name: of a family, or of a file whose text they hold."""
    from qfedfm.circuits import family
    from qfedfm.models.heads.quantum import own_circuit

    if head.get("circuit"):
        return own_circuit(str(head["circuit"]))[1]
    return family(
        str(head["family"]), qubits=head["qubits"], layers=head["layers"], **(head.get("options") or {})
    )


def circuit(records: Records) -> str:
    """Returns the circuit drawn, where the head has one."""
    head = records.option("model.head")
    if not isinstance(head, Mapping) or head.get("kind") not in CIRCUIT_HEADS:
        return ""
    try:
        circuit = recorded_circuit(head)
        if head["kind"] == "unentangled":
            circuit = circuit.without_entanglers()
    except (QfedfmError, KeyError) as error:
        return warning(f"This version cannot draw the run's circuit: {error}")
    # The page's policy allows no style attributes; the style sheet sets the size.
    drawing = re.sub(r'(<svg\b[^>]*?) style="[^"]*"', r"\1", circuit.svg(), count=1)
    silent = len(circuit.zero_gradient_weights)
    named = f"{head['family']}, {head['layers']} layers" if head.get("family") else f"{circuit.name}, a file"
    caption = (
        f"{named}: {head['qubits']} qubits, depth {circuit.depth}, "
        f"{circuit.two_qubit_count} two-qubit gates, {circuit.n_weights} weights"
        + (f" ({silent} of them with identically zero gradient)" if silent else "")
        + ". x are inputs, w are weights, both in radians."
    )
    if head["kind"] == "frozen_quantum":
        caption += " The weights stay random: they are not trained."
    return figure(f"{head['kind']} head".replace("_", " "), drawing, caption, class_="circuit")

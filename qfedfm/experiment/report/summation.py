"""What a run's sum protocol promised, took, and how exact it was."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter

from qfedfm.experiment import quantities
from qfedfm.experiment.report.bars import stacked_bars
from qfedfm.experiment.report.lines import Line, line_chart
from qfedfm.experiment.report.page import cards, facts, figure, table, warning
from qfedfm.experiment.report.records import Records
from qfedfm.experiment.report.svg import escape
from qfedfm.security.summation import SumConfig, SumProtocol


def summation(records: Records) -> str:
    """Returns promise, bytes, keys, errors and dropouts by round; empty for a run without a protocol."""
    rounds = [line for line in records.rounds if "sum" in line]
    if not rounds:
        return ""
    protocol: SumProtocol = TypeAdapter(SumConfig).validate_python(records.option("security.sum"))
    words = (
        f"Protocol {protocol.kind}: the server learnt sums of updates, no update. Training losses, clipped "
        "numbers and the error of the mean below are the experimenter's, who sees all of a simulation. No "
        "certificate of exactness is made: it needs each client's factors."
    )
    aborted = [line for line in rounds if "aborted" in line["sum"]]
    lede = f'<p class="lede">{escape(words)}</p>'
    for line in aborted[:1]:
        count = f"{len(aborted)} of {len(rounds)} rounds were aborted and left the model as it was"
        lede += warning(f"{count}, the first (round {line['round']}): {line['sum']['aborted']}.")
    clipped = sum(int(line["sum"].get("clipped", 0)) for line in rounds)
    if clipped:
        lede += warning(
            f"{quantities.count(clipped)} numbers lay outside ±security.sum.bound and were clipped; raise it."
        )
    return lede + cards(
        [*_charts(rounds), figure("Promise", facts(_named(asdict(protocol.promise)))), _vanished(rounds)],
        roomy=True,
    )


def _charts(rounds: list[dict[str, Any]]) -> list[str]:
    numbers = [int(line["round"]) for line in rounds]
    phases = sorted({phase for line in rounds for phase in line["sum"]["bytes_up"]}, key=_order(rounds))
    sent = [
        (
            phase,
            [float(line["sum"][way].get(phase, 0)) for line in rounds],
        )
        for way in ("bytes_up",)
        for phase in phases
    ]
    down = [("from the server", [float(sum(line["sum"]["bytes_down"].values())) for line in rounds])]
    errors = [
        (n, line["sum"]["relative_rmse"])
        for n, line in zip(numbers, rounds, strict=True)
        if "rmse" in line["sum"]
    ]
    charts = [
        figure(
            "Bytes by phase",
            stacked_bars(
                "Bytes of the sum protocol by round", numbers, [*sent, *down], "bytes", quantities.size
            ),
            "What clients sent in each phase, and what the server sent them, all clients.",
        ),
        figure(
            "Error of the mean",
            line_chart(
                "Relative error of the decoded mean by round", [Line("error", errors)], "relative RMSE"
            ),
            "Root mean square error of the decoded mean, relative to the mean's own root mean square.",
        ),
    ]
    bits = [float(line["sum"]["key_bits"]) for line in rounds]
    if any(bits):
        charts.append(
            figure(
                "Key bits",
                stacked_bars(
                    "Key bits by round", numbers, [("key bits", bits)], "bits, all pairs", quantities.count
                ),
                "Drawn from the links between clients, each key counted once.",
            )
        )
    return charts


def _order(rounds: list[dict[str, Any]]) -> Any:
    """Returns the order of phases as they are recorded."""
    longest = max((list(line["sum"]["bytes_up"]) for line in rounds), key=len)
    return lambda phase: longest.index(phase) if phase in longest else len(longest)


def _vanished(rounds: list[dict[str, Any]]) -> str:
    rows = [
        (
            line["round"],
            len(line["cohort"]),
            len(line["participants"]),
            ", ".join(f"{client} ({at})" for client, at in line["sum"].get("left", {}).items()) or "nobody",
        )
        for line in rounds
    ]
    columns = ("round", "asked", "in the sum", "vanished, and from which phase on")
    return figure("Who survived", table(columns, rows), "Who vanished before its numbers is in no sum.")


def _named(promise: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", " "): words for name, words in promise.items()}

"""How exact the aggregation of LoRA layers was: error and drift by round, and the last round by layer."""

from __future__ import annotations

from typing import Any

from qfedfm.experiment import quantities
from qfedfm.experiment.report.lines import Line, line_chart
from qfedfm.experiment.report.page import cards, figure, table
from qfedfm.experiment.report.records import Records

MOST_LAYERS = 32


def exactness(records: Records) -> str:
    """Returns the panel; empty for runs without LoRA layers."""
    rounds = [line for line in records.rounds if line.get("layers")]
    if not rounds:
        return ""

    def curve(key: str) -> list[tuple[int, float]]:
        return [(int(r["round"]), max(float(f[key]) for f in r["layers"].values())) for r in rounds]

    chart = line_chart(
        "Error of the aggregation and drift of the clients by round",
        [Line("error", curve("error"), colour=0), Line("drift", curve("drift"), colour=1)],
        "relative, largest of all layers",
    )
    caption = (
        "Error: what the clients receive against the weighted sum of their products B A, relative. Drift: "
        "how far their changes of the product lie apart, 0 if all moved alike, 1 if their changes cancel."
    )
    return cards([figure("Exactness", chart, caption), _by_layer(rounds[-1])], roomy=True)


def _by_layer(line: dict[str, Any]) -> str:
    layers = list(line["layers"].items())
    rows = [
        (
            name,
            "no sum" if found["zero"] else f"{found['error']:.2e}",
            quantities.count(found["rank"]),
            quantities.decimal(found["drift"]),
            quantities.size(found["upload_bytes"]),
            quantities.size(found["download_bytes"]),
        )
        for name, found in layers[:MOST_LAYERS]
    ]
    more = f"; {len(layers) - MOST_LAYERS} more in rounds.jsonl" if len(layers) > MOST_LAYERS else ""
    columns = ("layer", "error", "rank of the sum", "drift", "up", "down")
    below = f"Round {line['round']}{more}. Bytes of the layer's tensors, all clients, before packing."
    return figure("Layers", table(columns, rows), below)

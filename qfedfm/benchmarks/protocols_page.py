"""The comparison of sum protocols as files: a table (CSV), a page (HTML), the figures (SVG)."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qfedfm.benchmarks.protocols_scaling import theory
from qfedfm.core.files import write_atomic
from qfedfm.experiment import quantities
from qfedfm.experiment.report.page import document, figure, heading, section, table
from qfedfm.experiment.report.svg import escape

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COSTS = {
    "upload_bytes": "bytes that a client sends",
    "key_bits": "key bits of a client",
    "relative_rmse": "relative error of the mean",
    "seconds": "seconds of classical computing",
    "quantum_seconds": "seconds of quantum time, shots times clock",
}
_MARKS = "osv^D<>pP*Xh"
_SWEPT = "a GHZ phase sum over shots, noise and loss"


def write(found: Mapping[str, Any], folder: Path) -> list[Path]:
    """Writes ``protocols.json``, ``.csv``, ``.html`` and a figure for each cost into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"protocols.{kind}" for kind in ("json", "csv", "html")]
    write_atomic(paths[0], json.dumps(found, indent=1) + "\n")
    write_atomic(paths[1], as_csv(found))
    drawn = figures(found)
    for cost, drawing in drawn.items():
        paths.append(folder / f"{cost}.svg")
        write_atomic(paths[-1], drawing)
    write_atomic(paths[2], page(found, drawn))
    return paths


def as_csv(found: Mapping[str, Any]) -> str:
    """Returns the points, one a line."""
    text = io.StringIO()
    rows = list(found["points"])
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return text.getvalue()


def figures(found: Mapping[str, Any]) -> dict[str, str]:
    """Returns, per cost that is not zero everywhere, an SVG of two panels: over K and over d."""
    drawn = {}
    for cost, words in COSTS.items():
        points = [p for p in found["points"] if p[cost] > 0]
        if points:
            drawn[cost] = _svg(_panels(points, cost, words))
    if found["sweeps"]:
        drawn["sweeps"] = _svg(_swept(found["sweeps"]))
    return drawn


def _swept(rows: list[dict[str, Any]]) -> Figure:
    """Draws a GHZ phase sum over shots, noise and loss, beside the formulas through the first point."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(9, 3.2), layout="constrained")
    for axes, over in zip(drawing.subplots(1, 3), ("shots", "depolarizing", "loss"), strict=True):
        line = [row for row in rows if row["over"] == over]
        if not line:
            axes.set_axis_off()
            continue
        cost = "states" if over == "loss" else "relative_rmse"
        values = np.array([row["value"] for row in line], float)
        clients = line[0]["clients"]
        expected = {
            "shots": values**-0.5,
            "depolarizing": (1 - 4 * values / 3) ** -clients,
            "loss": (1 - values) ** -clients,
        }[over]
        axes.plot(values, [row[cost] for row in line], "o", markersize=4, label="measured")
        axes.plot(values, expected * (line[0][cost] / expected[0]), "k--", linewidth=1, label="formula")
        if over != "depolarizing":
            axes.set_yscale("log")
        if over == "shots":
            axes.set_xscale("log")
        axes.set_xticks(values, [f"{value:,g}" for value in values], rotation=30, ha="right")
        axes.xaxis.minorticks_off()
        axes.set_xlabel(
            {"shots": "shots a quadrature", "depolarizing": "errors of a qubit, p"}.get(over, over)
        )
        axes.set_ylabel({"states": "states sent"}.get(cost, "relative error of the mean"))
        axes.grid(alpha=0.3, which="both")
        axes.legend(fontsize=7)
    return drawing


def _panels(points: list[dict[str, Any]], cost: str, words: str) -> Figure:
    """Draws a cost over K and over d, each protocol with a colour and mark of its own.

    The other of the two is held where most points lie, the same for all protocols that have points there.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(11, 3.8), layout="constrained")
    panels = drawing.subplots(1, 2, sharey=True)
    labels = list(dict.fromkeys(p["protocol"] for p in points))
    names = {"clients": "clients K", "size": "numbers of an update d"}
    for axes, over, fixed in zip(panels, ("clients", "size"), ("size", "clients"), strict=True):
        common, other = _held(points, fixed), "d" if fixed == "size" else "K"
        for number, label in enumerate(labels):
            own = [p for p in points if p["protocol"] == label]
            there = sum(p[fixed] == common for p in own)
            held = common if there > 1 else _held(own, fixed)
            line = sorted((p[over], p[cost]) for p in own if p[fixed] == held)
            color = colormaps["tab20"](number % 20)
            axes.plot(
                *zip(*line, strict=True),
                marker=_MARKS[number % len(_MARKS)],
                color=color,
                markersize=4,
                label=label,
            )
            if held != common:
                axes.annotate(f"{other} = {held:,}", line[-1], fontsize=6)
        axes.set_xscale("log")
        axes.set_yscale("log")
        if over == "clients":
            ticks = sorted({p["clients"] for p in points})
            axes.set_xticks(ticks, [str(tick) for tick in ticks])
            axes.minorticks_off()
        axes.set_xlabel(f"{names[over]}, at {other} = {common:,}")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel(words)
    handles, shown = panels[1].get_legend_handles_labels()
    drawing.legend(handles, shown, loc="outside right upper", fontsize=7)
    return drawing


def _held(points: list[dict[str, Any]], fixed: str) -> int:
    """Returns the value of K or d with most points; of several the largest."""
    return int(max({p[fixed] for p in points}, key=lambda v: (sum(p[fixed] == v for p in points), v)))


def _svg(drawing: Figure) -> str:
    text = io.StringIO()
    drawing.savefig(text, format="svg", metadata={"Date": None})
    whole = text.getvalue()
    return whole[whole.index("<svg") :]


def _image(svg: str, name: str) -> str:
    """Returns a figure as an image: inside the page, the page's policy would forbid the styles in it."""
    content = base64.b64encode(svg.encode()).decode()
    return f'<img width="100%" alt="{escape(name)}" src="data:image/svg+xml;base64,{content}">'


def page(found: Mapping[str, Any], drawn: Mapping[str, str]) -> str:
    """Returns the page: promises beside numbers, figures, the fitted scaling."""
    columns = (
        ("protocol", "protocol"), ("K", "clients"), ("d", "size"), ("relative error", "relative_rmse"),
        ("up a client", "upload_bytes"), ("down a client", "download_bytes"), ("key bits", "key_bits"),
        ("qubits", "qubits"), ("shots", "shots"), ("circuits", "circuits"), ("seconds", "seconds"),
        ("quantum seconds", "quantum_seconds"), ("may vanish", "survives"),
    )  # fmt: skip
    sizes = ("upload_bytes", "download_bytes")
    rows = [
        [
            p[key]
            if key in ("protocol", "clients", "survives", "qubits", "circuits")
            else quantities.size(p[key])
            if key in sizes
            else f"{p[key]:.3g}"
            if isinstance(p[key], float)
            else quantities.count(p[key])
            for _, key in columns
        ]
        for p in found["points"]
    ]
    promises = [[label, *words.values()] for label, words in found["promises"].items()]
    names = ["protocol", *(key.replace("_", " ") for key in next(iter(found["promises"].values()), {}))]
    fitted = [
        [
            row["protocol"],
            row["cost"].replace("_", " "),
            {"clients": "K", "size": "d"}.get(row["over"], row["over"]),
            f"{row['from']:g} to {row['to']:g}",
            f"{row['exponent']:.2f}",
            theory(row),
            row["formula"],
        ]
        for row in found["scaling"]
    ]
    left = [[e["protocol"], e["clients"], quantities.count(e["size"]), e["why"]] for e in found["left_out"]]
    lede = (
        "Random updates; seconds are those of a processor, "
        f"quantum time is shots times {found['clock_seconds']:g} s. "
        "Protocols with other threat models are not ranked by these numbers alone."
    )
    sections = [
        section("promises", "What each promises", table(names, promises, len(names))),
        section(
            "figures",
            "Cost curves",
            "".join(
                figure(name, _image(drawn[cost], name))
                for cost, name in {**COSTS, "sweeps": _SWEPT}.items()
                if cost in drawn
            ),
        ),
        section("numbers", "Numbers", table([name for name, _ in columns], rows)),
        section(
            "scaling",
            "Fitted exponents",
            table(["protocol", "cost", "over", "range", "fitted", "theory", "formula"], fitted, 7),
        ),
        section("left", "Left out", table(["protocol", "K", "d", "why"], left, 1) if left else ""),
    ]
    return document("Sum protocols · qfedfm", heading("comparison", "Sum protocols", lede), sections)

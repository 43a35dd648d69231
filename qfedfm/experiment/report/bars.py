"""Stacked bars over rounds, dots with intervals over clients, rows with intervals for a comparison."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qfedfm.experiment import quantities
from qfedfm.experiment.report.lines import legend
from qfedfm.experiment.report.svg import (
    LETTER,
    SERIES,
    WIDTH,
    Frame,
    drawing,
    escape,
    padded,
    shorten,
    tag,
    text,
    tick_label,
    ticks,
)

MOST_BARS = 120
WIDE = 720.0


@dataclass(frozen=True)
class Row:
    """One dot with its interval.

    Args:
        name: Of the client or the cell.
        value: Where the dot is.
        low: Lower end of the interval, None where there is none.
        high: Upper end.
        singles: Single values (one a seed), drawn small.
        words: Further words for the tooltip.
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    singles: Sequence[float] = ()
    words: str = ""


def stacked_bars(
    title: str,
    rounds: Sequence[int],
    parts: Sequence[tuple[str, Sequence[float]]],
    value_name: str,
    show: Callable[[float], str],
) -> str:
    """Returns the SVG of one bar a round, its parts stacked; empty where there is nothing to show.

    With more than 120 rounds, neighbours are averaged into one bar and the caption says so.

    Args:
        title: What it shows.
        rounds: Round numbers, length n.
        parts: ``(name, values (n,))`` each, values >= 0; parts that are zero throughout are left out.
        value_name: Name of the vertical axis.
        show: Writes a value with its unit.
    """
    parts = [(name, values) for name, values in parts if any(v > 0 for v in values)]
    if not rounds or not parts:
        return ""
    span = math.ceil(len(rounds) / MOST_BARS)
    groups = [range(i, min(i + span, len(rounds))) for i in range(0, len(rounds), span)]
    stacks = [[sum(values[i] for i in g) / len(g) for _, values in parts] for g in groups]
    frame = Frame(left=64.0, top=42.0)
    y = frame.y(*padded([sum(stack) for stack in stacks], zero=True))
    values = ticks(y.low, y.high, 4)
    body = frame.horizontal_grid(y, values, ["0" if v == 0 else show(v) for v in values])
    slot = (frame.width - frame.left - frame.right) / len(groups)
    wide = min(46.0, slot * 0.74)
    labelled = math.ceil(len(groups) / 10)
    for i, (group, stack) in enumerate(zip(groups, stacks, strict=True)):
        middle, base = frame.left + slot * (i + 0.5), 0.0
        first, last = rounds[group[0]], rounds[group[-1]]
        words, shapes = [f"Round {first}" if first == last else f"Mean of rounds {first} to {last}"], ""
        for colour, ((name, _), value) in enumerate(zip(parts, stack, strict=True)):
            height = y(base) - y(base + value)
            shapes += tag(
                "rect",
                x=middle - wide / 2,
                y=y(base + value),
                width=wide,
                height=max(0.0, height),
                class_=f"bar s{colour % SERIES}",
            )
            words.append(f"{name}: {show(value)}")
            base += value
        if len(parts) > 1:
            words.append(f"together: {show(base)}")
        body += _spot(
            words, middle - slot / 2, frame.top, slot, frame.height - frame.top - frame.bottom, shapes
        )
        if i % labelled == 0:
            body += text(middle, frame.height - frame.bottom + 19, first, "tick", "middle")
    body += frame.captions("round" if span == 1 else f"round (mean of {span} neighbours a bar)", value_name)
    body += legend([(name, i) for i, (name, _) in enumerate(parts)], frame.left, 34) if len(parts) > 1 else ""
    totals = ", ".join(f"{name} {show(sum(values))}" for name, values in parts)
    return drawing(title, f"One bar a round, rounds {rounds[0]} to {rounds[-1]}. In total: {totals}.", body)


def dots(
    title: str,
    rows: Sequence[Row],
    value_name: str,
    below: str,
    reference: tuple[float, str],
    *,
    wide: bool = False,
) -> str:
    """Returns the SVG of one dot a client with its interval, on an axis from 0 to 1; empty without rows.

    Args:
        title: What it shows.
        rows: The clients.
        value_name: Name of the vertical axis.
        below: Name of the horizontal axis.
        reference: A value to compare with and its name.
        wide: Whether the drawing takes the whole page's width.
    """
    if not rows:
        return ""
    frame = Frame(width=WIDE if wide else WIDTH, top=30.0)
    y = frame.y(0.0, 1.0)
    values = [0.0, 0.25, 0.5, 0.75, 1.0]
    body = frame.horizontal_grid(y, values, [f"{v:g}" for v in values]) + frame.reference(y, *reference)
    slot = (frame.width - frame.left - frame.right) / len(rows)
    every = math.ceil(len(rows) / (20 if wide else 12))
    for i, row in enumerate(rows):
        middle = frame.left + slot * (i + 0.5)
        shapes = ""
        if row.low is not None and row.high is not None:
            shapes += tag("line", x1=middle, x2=middle, y1=y(row.low), y2=y(row.high), class_="whisker")
        shapes += tag("circle", cx=middle, cy=y(row.value), r=min(5.0, 1.5 + slot / 6), class_="mark")
        words = [f"{below.capitalize()} {row.name}", quantities.decimal(row.value)]
        words[1] += f" {quantities.interval(row.low, row.high)}" if row.low is not None else ""
        body += tag(
            "g",
            _spot(
                [*words, row.words],
                middle - slot / 2,
                frame.top,
                slot,
                frame.height - frame.top - frame.bottom,
                shapes,
            ),
            class_="s0",
        )
        if i % every == 0:
            body += text(middle, frame.height - frame.bottom + 19, shorten(row.name, 6), "tick", "middle")
    body += frame.captions(below, value_name)
    low, high = min(r.value for r in rows), max(r.value for r in rows)
    return drawing(title, f"{len(rows)} values from {low:.3f} to {high:.3f}.", body, width=frame.width)


def forest(
    title: str, rows: Sequence[Row], value_name: str, *, zero: bool = False, first_colour: int = 0
) -> str:
    """Returns the SVG of one row a cell: the mean, its interval, the single runs; empty without rows.

    Args:
        title: What it shows.
        rows: The cells, drawn from top to bottom.
        value_name: Name of the horizontal axis.
        zero: Whether zero belongs to the axis and is marked (differences).
        first_colour: The series colour of the first row.
    """
    if not rows:
        return ""
    letters = min(20, max(len(row.name) for row in rows))
    apart, top = 30.0, 8.0
    frame = Frame(left=14 + LETTER * letters, top=top, height=top + apart * len(rows) + 48)
    held = [v for row in rows for v in (row.value, row.low, row.high, *row.singles) if v is not None]
    low, high = padded([*held, *([0.0] if zero else [])])
    x = frame.x(low, high)
    values = ticks(low, high, 4)
    step = values[1] - values[0] if len(values) > 1 else 1.0
    base = top + apart * len(rows)
    body = "".join(
        tag("line", x1=x(v), x2=x(v), y1=top, y2=base, class_="grid" if v or not zero else "reference")
        + text(x(v), base + 18, tick_label(v, step), "tick", "middle")
        for v in values
    )
    for i, row in enumerate(rows):
        middle = top + apart * (i + 0.5)
        shapes = "".join(tag("circle", cx=x(v), cy=middle + 8, r=2.2, class_="single") for v in row.singles)
        if row.low is not None and row.high is not None:
            shapes += tag("line", x1=x(row.low), x2=x(row.high), y1=middle, y2=middle, class_="whisker")
        shapes += tag("circle", cx=x(row.value), cy=middle, r=5.0, class_="mark")
        name = tag("title", escape(row.name)) + escape(shorten(row.name, 20))
        body += tag("text", name, x=frame.left - 8, y=middle + 4.5, text_anchor="end", class_="name")
        number = quantities.signed(row.value) if zero else quantities.decimal(row.value)
        words = [row.name, f"{number} {quantities.interval(row.low, row.high)}", row.words]
        body += tag(
            "g",
            _spot(words, 0.0, middle - apart / 2, WIDTH, apart, shapes),
            class_=f"s{(i + first_colour) % SERIES}",
        )
    body += text((frame.left + frame.width - frame.right) / 2, frame.height - 6, value_name, "axis", "middle")
    described = "; ".join(
        f"{row.name} {quantities.decimal(row.value)} {quantities.interval(row.low, row.high)}" for row in rows
    )
    return drawing(title, described + ".", body, height=frame.height)


def gauge(value: float, low: float | None, high: float | None, marks: Sequence[tuple[float, str]]) -> str:
    """Returns a bar from 0 to 1 filled to ``value``, with its interval and named marks under it.

    Args:
        value: In [0, 1].
        low: Lower end of the interval.
        high: Upper end.
        marks: ``(place, name)`` each, for example the share of the largest class.
    """
    frame = Frame(left=8.0, right=8.0)
    x = frame.x(0.0, 1.0)
    body = tag("rect", x=x(0), y=8.0, width=x(1) - x(0), height=14.0, rx=7.0, class_="track")
    body += tag("rect", x=x(0), y=8.0, width=max(0.0, x(value) - x(0)), height=14.0, rx=7.0, class_="bar s0")
    if low is not None and high is not None:
        body += tag("line", x1=x(low), x2=x(high), y1=15.0, y2=15.0, class_="span")
    for place, name in marks:
        anchor = "start" if place < 0.25 else "end" if place > 0.75 else "middle"
        body += tag("line", x1=x(place), x2=x(place), y1=3.0, y2=27.0, class_="notch")
        body += text(x(place), 43.0, name, "note", anchor)
    words = ", ".join(f"{name} {place:.3f}" for place, name in marks)
    return drawing("Test accuracy on a scale from 0 to 1", f"{value:.3f}; {words}", body, height=50)


def _spot(words: Sequence[str], x: float, y: float, width: float, height: float, shapes: str) -> str:
    """Returns shapes that explain themselves when pointed at."""
    shown = "\n".join(w for w in words if w)
    return tag(
        "g",
        tag("title", escape(shown))
        + tag("rect", x=x, y=y, width=width, height=height, class_="hit")
        + shapes,
        class_="spot",
    )

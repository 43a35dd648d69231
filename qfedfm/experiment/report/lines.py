"""Lines over rounds, with bands for intervals and each line named where it ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qfedfm.experiment import quantities
from qfedfm.experiment.report.svg import (
    LETTER,
    SERIES,
    Frame,
    Scale,
    drawing,
    escape,
    padded,
    shorten,
    tag,
    text,
    tick_label,
    ticks,
)

MOST_POINTS = 1500
MOST_COLUMNS = 240
NAME_LETTERS = 17
LINE_APART = 17.0


@dataclass(frozen=True)
class Line:
    """One curve.

    Args:
        name: Written at its end.
        points: ``(round, value)`` in order of the rounds; values that are not finite leave a gap.
        band: ``(round, low, high)`` where there is an interval.
        colour: Which of the page's series colours.
    """

    name: str
    points: Sequence[tuple[int, float]]
    band: Sequence[tuple[int, float, float]] = ()
    colour: int = 0


def line_chart(
    title: str,
    lines: Sequence[Line],
    value_name: str,
    *,
    reference: tuple[float, str] | None = None,
    limits: tuple[float, float] | None = None,
    show: Callable[[float], str] = quantities.decimal,
) -> str:
    """Returns the SVG of curves over rounds; empty if no curve has a finite point.

    Args:
        title: What it shows.
        lines: The curves.
        value_name: Name of the vertical axis.
        reference: A value to compare with and its name, drawn dashed.
        limits: The vertical axis never leaves this range, (0, 1) for accuracies.
        show: Writes a value in tooltips.
    """
    lines = [line for line in lines if any(math.isfinite(v) for _, v in line.points)]
    if not lines:
        return ""
    finite = [v for line in lines for _, v in line.points if math.isfinite(v)]
    ends = [v for line in lines for _, low, high in line.band for v in (low, high)]
    low, high = padded([*finite, *ends, *([reference[0]] if reference else [])])
    if limits:
        low, high = max(low, limits[0]), min(high, limits[1])
    rounds = sorted({r for line in lines for r, _ in line.points})
    letters = max(min(NAME_LETTERS, len(line.name)) for line in lines)
    frame = Frame(right=22 + LETTER * letters)
    x, y = frame.x(rounds[0], rounds[-1]), frame.y(low, high)
    values = ticks(low, high)
    step = values[1] - values[0] if len(values) > 1 else 1.0
    body = frame.horizontal_grid(y, values, [tick_label(v, step) for v in values])
    body += frame.whole_ticks(x, rounds[0], rounds[-1]) + frame.captions("round", value_name)
    if reference:
        body += frame.reference(y, *reference)
    body += "".join(_band(line, x, y, low, high) for line in lines)
    body += "".join(_curve(line, x, y, len(lines) <= 3) for line in lines)
    body += _names(lines, x, y, frame)
    body += _columns(lines, rounds, x, y, frame, show)
    last = "; ".join(f"{line.name}: {show(_last(line)[1])} in round {_last(line)[0]}" for line in lines)
    return drawing(title, f"Curves over rounds {rounds[0]} to {rounds[-1]}. {last}.", body)


def _last(line: Line) -> tuple[int, float]:
    return next((r, v) for r, v in reversed(line.points) if math.isfinite(v))


def _thinned(points: Sequence[tuple[int, float]]) -> Sequence[tuple[int, float]]:
    """Returns every n-th point and the last one, where there are very many."""
    every = math.ceil(len(points) / MOST_POINTS)
    return points if every <= 1 else [*points[:-1:every], points[-1]]


def _curve(line: Line, x: Scale, y: Scale, marked: bool) -> str:
    path, pen = [], "M"
    points = _thinned(line.points)
    for r, v in points:
        if not math.isfinite(v):
            pen = "M"
            continue
        path.append(f"{pen}{x(r):.1f} {y(v):.1f}")
        pen = "L"
    colour = f"s{line.colour % SERIES}"
    marks = "".join(
        tag("circle", cx=x(r), cy=y(v), r=2.6, class_="mark") for r, v in points if math.isfinite(v)
    )
    few = len(points) <= 30 and marked
    return tag("g", tag("path", d="".join(path), class_="line") + (marks if few else ""), class_=colour)


def _band(line: Line, x: Scale, y: Scale, low: float, high: float) -> str:
    if len(line.band) < 2:
        return "".join(
            tag("line", x1=x(r), x2=x(r), y1=y(max(a, low)), y2=y(min(b, high)), class_="whisker")
            for r, a, b in line.band
        ).join((f'<g class="s{line.colour % SERIES}">', "</g>"))
    upper = [f"{x(r):.1f} {y(min(b, high)):.1f}" for r, _, b in line.band]
    lower = [f"{x(r):.1f} {y(max(a, low)):.1f}" for r, a, _ in reversed(line.band)]
    return tag("path", d="M" + "L".join(upper + lower) + "Z", class_=f"band s{line.colour % SERIES}")


def _names(lines: Sequence[Line], x: Scale, y: Scale, frame: Frame) -> str:
    """Names every line at its end, moved apart where they would overlap."""
    order = sorted(lines, key=lambda line: y(_last(line)[1]))
    places: list[float] = []
    for line in order:
        wanted = y(_last(line)[1])
        places.append(max(wanted, places[-1] + LINE_APART) if places else max(wanted, frame.top))
    excess = places[-1] - (frame.height - frame.bottom + 6)
    if excess > 0:
        places[-1] -= excess
        for i in range(len(places) - 2, -1, -1):
            places[i] = min(places[i], places[i + 1] - LINE_APART)
    result = ""
    for line, place in zip(order, places, strict=True):
        r, v = _last(line)
        end = frame.width - frame.right
        lead = tag("path", d=f"M{x(r) + 3:.1f} {y(v):.1f}L{end + 10:.1f} {place:.1f}", class_="lead")
        name = tag("title", escape(line.name)) + escape(shorten(line.name, NAME_LETTERS))
        result += tag(
            "g",
            lead + tag("text", name, x=end + 13, y=place + 4.5, class_="name"),
            class_=f"s{line.colour % SERIES}",
        )
    return result


def _columns(
    lines: Sequence[Line],
    rounds: Sequence[int],
    x: Scale,
    y: Scale,
    frame: Frame,
    show: Callable[[float], str],
) -> str:
    """Returns one invisible strip a round that shows its values when pointed at."""
    every = math.ceil(len(rounds) / MOST_COLUMNS)
    chosen = rounds if every <= 1 else [*rounds[:-1:every], rounds[-1]]
    known = [dict(line.points) for line in lines]
    bands = [{r: (a, b) for r, a, b in line.band} for line in lines]
    places = [x(r) for r in chosen]
    height = frame.height - frame.top - frame.bottom
    result = []
    for i, (r, place) in enumerate(zip(chosen, places, strict=True)):
        start = (places[i - 1] + place) / 2 if i else place - 12
        stop = (place + places[i + 1]) / 2 if i + 1 < len(places) else place + 12
        words, dots = [f"Round {r}"], ""
        for line, values, band in zip(lines, known, bands, strict=True):
            if math.isfinite(values.get(r, math.nan)):
                ends = band.get(r)
                around = f" {quantities.interval(*ends)}" if ends else ""
                words.append(f"{line.name}: {show(values[r])}{around}")
                dots += tag(
                    "circle", cx=place, cy=y(values[r]), r=4.2, class_=f"mark s{line.colour % SERIES}"
                )
        result.append(
            tag(
                "g",
                tag("title", escape("\n".join(words)))
                + tag("rect", x=start, y=frame.top, width=stop - start, height=height, class_="hit")
                + tag("line", x1=place, x2=place, y1=frame.top, y2=frame.top + height, class_="cross")
                + dots,
                class_="column",
            )
        )
    return "".join(result)


def legend(names: Sequence[tuple[str, int]], x: float, y: float) -> str:
    """Returns coloured squares with names in one row, ``(name, colour)`` each."""
    result = ""
    for name, colour in names:
        result += tag("rect", x=x, y=y - 9, width=10.0, height=10.0, rx=2.0, class_=f"bar s{colour % SERIES}")
        result += text(x + 14, y, name, "name")
        x += 26 + LETTER * len(name)
    return result

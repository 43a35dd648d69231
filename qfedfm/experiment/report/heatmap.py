"""Who holds what: a partition as a heat map, classes down, clients across, sizes on top."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from qfedfm.data.heatmap import select
from qfedfm.experiment import quantities
from qfedfm.experiment.report.svg import LETTER, drawing, escape, shorten, tag, text

MOST_CLIENTS = 120
MOST_CLASSES = 40
MOST_NUMBERS = 16
WIDE = 720.0


def heat_map(table: Sequence[Sequence[int]], label_names: Sequence[str]) -> str:
    """Returns the SVG of a partition; empty without clients.

    A cell is the darker the larger the class's share of its client. Up to 16 clients the counts are
    written into the cells. Of more than 120 clients, 120 evenly spaced by size are drawn, and of more than
    40 classes the largest (:func:`qfedfm.data.heatmap.select`); the description says so.

    Args:
        table: Counts, clients by classes (K, C).
        label_names: C names.
    """
    if not table or not label_names:
        return ""
    clients = len(table)
    kept, shown, names = select(np.asarray(table), label_names, MOST_CLIENTS, MOST_CLASSES)
    rows = kept.tolist()
    letters = min(22, max(len(name) for name in names))
    left, top, classes = 14 + LETTER * letters, 66.0, len(names)
    tall = max(4.0, min(21.0, 620.0 / classes))
    wide = (WIDE - left - 8) / len(shown)
    largest = max(1, max(sum(row) for row in rows))
    gap = 1.5 if wide > 8 else 0.0
    numbers = len(shown) <= MOST_NUMBERS and tall >= 16
    named = math.ceil(17.0 / tall)
    body = text(left - 8, top - 16, "examples", "tick", "end")
    body += "".join(
        tag(
            "text",
            tag("title", escape(name)) + escape(shorten(name, 22)),
            x=left - 8,
            y=top + tall * (c + 0.5) + 4.5,
            text_anchor="end",
            class_="name",
        )
        for c, name in enumerate(names)
        if c % named == 0
    )
    for column, (k, row) in enumerate(zip(shown, rows, strict=True)):
        x = left + wide * column
        total = sum(row)
        tall_bar = 38.0 * total / largest
        body += _cell(
            f"Client {k}: {quantities.count(total)} examples",
            tag("rect", x=x, y=top - 8 - tall_bar, width=wide - gap, height=tall_bar, class_="size"),
        )
        if numbers:
            body += text(x + (wide - gap) / 2, top - 12 - tall_bar, total, "count", "middle")
        for c, count in enumerate(row):
            share = count / total if total else 0.0
            y = top + tall * c
            shapes = tag("rect", x=x, y=y, width=wide - gap, height=tall - gap, class_="cell")
            if share:
                shapes += tag(
                    "rect",
                    x=x,
                    y=y,
                    width=wide - gap,
                    height=tall - gap,
                    fill_opacity=round(0.08 + 0.92 * math.sqrt(share), 3),
                    class_="heat",
                )
            if numbers and count:
                ink = "count strong" if share > 0.7 else "count medium" if share > 0.32 else "count"
                shapes += text(x + (wide - gap) / 2, y + tall / 2 + 4, count, ink, "middle")
            body += _cell(f"Client {k}, {names[c]}: {quantities.count(count)} ({share:.0%})", shapes)
    some = "" if len(shown) == clients else f" ({len(shown)} drawn, evenly spaced by size)"
    step = math.ceil(len(shown) / 20)
    base = top + tall * classes
    body += "".join(
        text(left + wide * (i + 0.5), base + 17, k, "tick", "middle")
        for i, k in enumerate(shown)
        if i % step == 0
    )
    body += text((left + WIDE) / 2, base + 37, f"client{some}", "axis", "middle")
    description = (
        f"{quantities.count(clients)} clients{some}, {len(label_names)} classes; counts of examples."
    )
    return drawing("Classes per client", description, body, width=WIDE, height=base + 44)


def _cell(words: str, shapes: str) -> str:
    return tag("g", tag("title", escape(words)) + shapes, class_="spot")

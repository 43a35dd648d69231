"""The partition as a picture and as a table: which client holds how much of which class."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

MOST_ROWS = 40
MOST_COLUMNS = 24
_TEXT_WIDTH = 88
_WIDTH, _ROW, _LEFT, _RIGHT, _FONT = 400, 16, 40, 48, 11


def select(
    table: Ints, label_names: Sequence[str], most_rows: int = MOST_ROWS, most_columns: int = MOST_COLUMNS
) -> tuple[Ints, list[int], list[str]]:
    """Reduces a table to what can be read.

    Too many clients: evenly spaced ones in order of size stand for all, so that the smallest and the
    largest are among them (averaging over clients would hide the skew). Too many classes: the
    largest stay, the rest is added up.

    Args:
        table: Samples per client and class, shape (clients, classes).
        label_names: Names of the classes.
        most_rows: Rows to keep, at least 2.
        most_columns: Columns to keep, at least 2.

    Returns:
        The reduced table, shape (rows, columns); the clients of its rows; the names of its columns.
    """
    clients = np.arange(len(table))
    names = list(label_names)
    if len(table) > most_rows:
        by_size = np.argsort(table.sum(1), kind="stable")
        clients = by_size[np.linspace(0, len(table) - 1, most_rows).round().astype(np.int64)]
    if len(names) > most_columns:
        by_class = np.argsort(-table.sum(0), kind="stable")
        kept, rest = np.sort(by_class[: most_columns - 1]), by_class[most_columns - 1 :]
        names = [*(names[i] for i in kept.tolist()), f"{len(rest)} others"]
        table = np.concatenate([table[:, kept], table[:, rest].sum(1, keepdims=True)], axis=1)
    return table[clients], clients.tolist(), names


def heat_map(table: Ints, label_names: Sequence[str]) -> str:
    """Draws the partition: a row per client, a column per class, stronger is more samples.

    Args:
        table: Samples per client and class, shape (clients, classes), as :meth:`ClientIndex.table` gives.
        label_names: Names of the classes.

    Returns:
        A self-contained SVG element. It takes its colour from the text around it (``currentColor``), so it
        reads on light and dark pages, and scales to the width of the page.
    """
    shown, clients, names = select(table, label_names)
    rows, columns = shown.shape
    cell = (_WIDTH - _LEFT - _RIGHT) / columns
    longest = max(len(_short(name)) for name in names)
    top = 14 + round(longest * _FONT * 0.52)
    note = "" if len(table) == rows else f"{rows} of {len(table):,} clients, evenly spaced by size"
    height = top + rows * _ROW + (24 if note else 8)
    most = max(1, int(shown.max()))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="100%" role="img" '
        f'style="max-width:{_WIDTH * 2}px" font-family="system-ui, sans-serif" font-size="{_FONT}" '
        'fill="currentColor">',
        f"<title>Samples per client and class: {len(table):,} clients, {int(table.sum()):,} samples</title>",
    ]
    for column, name in enumerate(names):
        x = _LEFT + (column + 0.5) * cell + _FONT / 3
        parts.append(
            f'<text x="{x:.1f}" y="{top - 5}" transform="rotate(-90 {x:.1f} {top - 5})">'
            f"{escape(_short(name))}</text>"
        )
    parts.append(f'<text x="{_WIDTH}" y="{top - 5}" text-anchor="end">all</text>')
    for row, client in enumerate(clients):
        y = top + row * _ROW
        parts.append(f'<text x="{_LEFT - 5}" y="{y + 12}" text-anchor="end">{client}</text>')
        parts.append(f'<text x="{_WIDTH}" y="{y + 12}" text-anchor="end">{int(shown[row].sum())}</text>')
        for column, name in enumerate(names):
            count = int(shown[row, column])
            opacity = (
                0.04 + 0.9 * (count / most) ** 0.5 if count else 0.04
            )  # the root keeps small counts visible
            parts.append(
                f'<rect x="{_LEFT + column * cell:.1f}" y="{y}" width="{cell - 1:.1f}" height="{_ROW - 1}" '
                f'fill-opacity="{opacity:.2f}"><title>client {client}, {escape(name)}: {count}</title></rect>'
            )
    if note:
        parts.append(f'<text x="{_LEFT}" y="{height - 6}">{note}</text>')
    parts.append("</svg>")
    return "".join(parts)


def text_table(table: Ints, label_names: Sequence[str], most_rows: int = 20, most_columns: int = 16) -> str:
    """Returns the partition as aligned text, for a terminal.

    Args:
        table: Samples per client and class, shape (clients, classes).
        label_names: Names of the classes.
        most_rows: Clients to show; see :func:`select`.
        most_columns: Classes to show, at most 26. Where their names do not fit a line they become letters,
            explained below the table.
    """
    shown, clients, names = select(table, label_names, most_rows, most_columns)
    legend = ""
    if sum(len(name) + 2 for name in names) > _TEXT_WIDTH:
        letters = [chr(ord("a") + i) for i in range(len(names))]
        legend = ", ".join(f"{letter} {name}" for letter, name in zip(letters, names, strict=True))
        names = letters
    heads = ["client", *names, "all"]
    body = [
        [str(client), *(str(count) if count else "." for count in row), str(sum(row))]
        for client, row in zip(clients, shown.tolist(), strict=True)
    ]
    widths = [max(len(line[i]) for line in [heads, *body]) for i in range(len(heads))]
    lines = ["  ".join(v.rjust(w) for v, w in zip(line, widths, strict=True)) for line in [heads, *body]]
    if legend:
        lines += textwrap.wrap(f"({legend})", _TEXT_WIDTH)
    if len(shown) < len(table):
        lines.append(f"({len(shown)} of {len(table):,} clients, evenly spaced by size)")
    return "\n".join(lines)


def _short(name: str, most: int = 22) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"

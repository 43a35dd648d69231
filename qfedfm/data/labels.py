"""From the columns of a file to texts and labels."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qfedfm.core.errors import RequestError
from qfedfm.data.files import Table, read_table

_logger = logging.getLogger(__name__)


def labelled(table: Table, text: Sequence[str], label: str) -> tuple[list[str], list[str], tuple[str, ...]]:
    """Returns texts, label names and warnings; several text columns are joined by a space.

    Raises:
        RequestError: A row has no label or no value for a text column.
    """
    parts = [
        [_text(value, table, row, column) for row, value in enumerate(table.columns[column])]
        for column in text
    ]
    texts = [" ".join(p for p in pieces if p).strip() for pieces in zip(*parts, strict=True)]
    names = [_label(value, table, row, label) for row, value in enumerate(table.columns[label])]
    warnings: list[str] = []
    empty = [row for row, t in enumerate(texts) if not t]
    if empty:
        warnings.append(
            f"{table.name}: {len(empty)} rows have an empty text (first: line {table.lines[empty[0]]})"
        )
    return texts, names, tuple(warnings)


def read_labelled(
    path: str | Path,
    text: str | Sequence[str],
    label: str,
    header: bool | str,
    label_names: Sequence[str],
) -> tuple[list[str], NDArray[np.int64]]:
    """Reads texts and labels for the evaluation of a trained model.

    Args:
        path: A .csv, .tsv, .jsonl or .parquet file.
        text: Text column, or columns to join.
        label: Label column.
        header: As in the experiment file.
        label_names: The classes of the model.

    Returns:
        Texts, and labels of shape (rows,). A label the model does not know becomes
        ``len(label_names)`` or more, which no prediction equals, and is warned about.

    Raises:
        RequestError: As :func:`read_table`, or no row carries a known label.
    """
    columns = (text,) if isinstance(text, str) else tuple(text)
    table = read_table(path, [*columns, label], header)
    texts, names, warnings = labelled(table, columns, label)
    unknown = ordered_labels(set(names) - set(label_names))
    if len(unknown) == len(set(names)):
        raise RequestError(
            f"{path}: no label in column {label!r} is one of the model's ({_few(label_names)}); "
            f"it has {_few(unknown)}"
        )
    if unknown:
        warnings += (unseen_sentence(names, unknown),)
    for sentence in warnings:
        _logger.warning("%s", sentence)
    index = {name: i for i, name in enumerate([*label_names, *unknown])}
    return texts, np.array([index[name] for name in names], dtype=np.int64)


def unseen_sentence(names: Sequence[str], unknown: Sequence[str]) -> str:
    """Returns the warning about test labels that training never saw."""
    rows = sum(name in set(unknown) for name in names)
    return (
        f"{rows} test rows carry labels that training never saw ({_few(unknown)}); "
        "they count as wrong answers"
    )


def ordered_labels(names: set[str]) -> list[str]:
    """Returns labels in order: numbers by value, names by alphabet."""
    try:
        return sorted(names, key=lambda name: (float(name), name))
    except ValueError:
        return sorted(names)


def check_labels(names: Sequence[str], where: str, column: str) -> None:
    """Refuses labels that cannot be a classification task.

    Raises:
        RequestError: There is one class only, or every row has its own label.
    """
    distinct = set(names)
    if len(distinct) == 1:
        raise RequestError(
            f"{where}: every row has the same label {next(iter(distinct))!r} in column {column!r}; "
            "at least two classes are needed"
        )
    if len(distinct) == len(names) or (len(distinct) > 100 and 2 * len(distinct) > len(names)):
        raise RequestError(
            f"{where}: column {column!r} has {len(distinct)} different labels in {len(names)} rows, so it is "
            "hardly a label column; set data.label to the column that names the class"
        )


def _text(value: Any, table: Table, row: int, column: str) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, list | dict):
        raise RequestError(
            f"{table.name}, line {table.lines[row]}: column {column!r} holds a {type(value).__name__}, "
            "not a text"
        )
    text = str(value)
    if "\x00" in text:
        raise RequestError(
            f"{table.name}, line {table.lines[row]}: column {column!r} holds a NUL character, not text"
        )
    return text


def _label(value: Any, table: Table, row: int, column: str) -> str:
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        value = int(value)
    name = "" if value is None or (isinstance(value, float) and math.isnan(value)) else str(value).strip()
    if not name or isinstance(value, list | dict):
        raise RequestError(
            f"{table.name}, line {table.lines[row]}: no label in column {column!r}; "
            "every row needs a number or a name"
        )
    return name


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown

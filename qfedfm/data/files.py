"""Reading columns from .csv, .tsv, .jsonl and .parquet files.

Text files are UTF-8 (a byte-order mark is allowed). A .csv field may be quoted with ``"`` and a quote in
it is doubled (RFC 4180); a backslash is an ordinary character. A .tsv field is taken as it stands, quote
characters included, as in the data sets distributed so; it holds no tab and no line break.
"""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qfedfm.core.config import nearest
from qfedfm.core.errors import RequestError
from qfedfm.data.config import SUFFIXES


@dataclass(frozen=True)
class Table:
    """Named columns of a file, with what is needed to speak of a row.

    Args:
        name: What the user calls the file.
        columns: Values by column name, all of the same length.
        lines: Line (or row) number of each row, from 1.
    """

    name: str
    columns: dict[str, list[Any]]
    lines: Sequence[int]

    def __len__(self) -> int:
        return len(self.lines)


def read_table(path: str | Path, needed: Sequence[str], header: bool | str = "auto") -> Table:
    """Reads the needed columns of a file.

    Args:
        path: A .csv, .tsv, .jsonl or .parquet file.
        needed: Column names.
        header: For .csv and .tsv: ``auto``, true or false. Without a header columns are c0, c1, ...;
            ``auto`` takes the first line as a header if it names every needed column, and takes the file
            as headerless if the needed columns are all of the form c0, c1, ...

    Raises:
        RequestError: The file is missing, empty, unreadable or has no such column.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise RequestError(f"{path}: a data file must end in one of {' '.join(SUFFIXES)}")
    if not path.is_file():
        what = "is not a file" if path.exists() else "does not exist"
        raise RequestError(f"data file {str(path)!r} {what}{_neighbour(path)}")
    needed = list(dict.fromkeys(needed))
    if suffix == ".parquet":
        table = _parquet(path, needed)
    elif suffix == ".jsonl":
        table = _json_lines(path, needed)
    else:
        table = _delimited(path, needed, header, tabs=suffix == ".tsv")
    if not len(table):
        raise RequestError(f"{path} holds no rows; give a file with at least one row for each of two labels")
    return table


# Formats -------------------------------------------------------------------------------------------


def _delimited(path: Path, needed: list[str], header: bool | str, tabs: bool) -> Table:
    text = _decode(path)
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    stream = io.StringIO(text, newline="")
    reader = (
        csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
        if tabs
        else csv.reader(stream, delimiter=",", strict=True)
    )
    rows: list[list[str]] = []
    lines: list[int] = []
    begin = 1
    try:
        for row in reader:
            if row:  # csv gives an empty list for a blank line
                rows.append(row)
                lines.append(begin)
            begin = reader.line_num + 1
    except csv.Error as error:
        raise RequestError(
            f"{path}, line {begin}: not valid CSV ({error}); a field with a quote, comma or line break "
            'stands in double quotes, and a quote inside it is doubled ("")'
        ) from None
    if not rows:
        raise RequestError(f"{path} is empty; give a file with a text and a label column")
    first = rows[0]
    numbered = [f"c{i}" for i in range(len(first))]
    if header == "auto":
        named = all(column in first for column in needed)
        if not named and not all(re.fullmatch(r"c\d+", column) for column in needed):
            _missing(
                path,
                needed,
                first,
                " (data.header: false if the first line is data; columns are then c0, c1, ...)",
            )
        header = named
    columns = first if header else numbered
    _missing(path, needed, columns, "")
    body, body_lines = (rows[1:], lines[1:]) if header else (rows, lines)
    for row, line in zip(body, body_lines, strict=True):
        if len(row) != len(columns):
            hint = (
                "; in a .tsv file a field cannot hold a tab or line break, use .csv for that" if tabs else ""
            )
            raise RequestError(
                f"{path}, line {line}: {len(row)} fields where {len(columns)} are expected{hint}"
            )
    for column in needed:
        if columns.count(column) > 1:
            raise RequestError(
                f"{path} has {columns.count(column)} columns named {column!r}; rename all but one"
            )
    places = {column: columns.index(column) for column in needed}
    return Table(str(path), {c: [row[i] for row in body] for c, i in places.items()}, body_lines)


def _json_lines(path: Path, needed: list[str]) -> Table:
    values: dict[str, list[Any]] = {column: [] for column in needed}
    lines: list[int] = []
    for number, line in enumerate(_decode(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise RequestError(
                f"{path}, line {number}: not valid JSON ({error}); each line is one object"
            ) from None
        if not isinstance(record, dict):
            raise RequestError(
                f"{path}, line {number}: a {type(record).__name__}, but each line must be an object"
            )
        _missing(path, needed, list(record), "" if not lines else f" in line {number}")
        for column in needed:
            values[column].append(record[column])
        lines.append(number)
    return Table(str(path), values, lines)


def _parquet(path: Path, needed: list[str]) -> Table:
    import pyarrow
    import pyarrow.parquet

    try:
        present = list(pyarrow.parquet.read_schema(path).names)
        _missing(path, needed, present, "")
        table = pyarrow.parquet.read_table(path, columns=needed)
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise RequestError(f"{path} cannot be read as a parquet file ({reason})") from None
    values = {column: table.column(column).to_pylist() for column in needed}
    return Table(str(path), values, range(1, table.num_rows + 1))


def _decode(path: Path) -> str:
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        start = error.start + (3 if content.startswith(b"\xef\xbb\xbf") else 0)
        line = content.count(b"\n", 0, start) + 1
        guess = "UTF-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "an older encoding such as Latin-1"
        raise RequestError(
            f"{path} is not UTF-8 text: byte 0x{content[start]:02x} at offset {start} (line {line}) is "
            f"invalid, it may be {guess}; save the file as UTF-8"
        ) from None


def _missing(path: Path, needed: Sequence[str], present: Sequence[str], hint: str) -> None:
    for column in needed:
        if column not in present:
            close = nearest(column, present) if len(present) <= 20 else ""
            raise RequestError(f"{path} has no column {column!r}{close}{hint}")


def _neighbour(path: Path) -> str:
    if not path.parent.is_dir():
        return f" (nor does the folder {str(path.parent)!r})"
    close = nearest(path.name, [p.name for p in path.parent.iterdir() if p.suffix.lower() in SUFFIXES])
    return close if "did you mean" in close else ""

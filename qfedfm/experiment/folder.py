"""A run's folder: what lies in it and how it is written so that a kill never leaves half a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qfedfm.core.errors import RequestError
from qfedfm.core.files import write_atomic


class RunFolder:
    """Paths and records of one run.

    Args:
        path: The folder; it need not exist yet.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def config(self) -> Path:
        """The complete configuration, every default written out."""
        return self.path / "config.yaml"

    @property
    def summary(self) -> Path:
        """The headline numbers; its presence means that the run is complete."""
        return self.path / "summary.json"

    @property
    def rounds(self) -> Path:
        """One JSON object a round, without wall-clock values."""
        return self.path / "rounds.jsonl"

    @property
    def timings(self) -> Path:
        """One JSON object a round, wall-clock values only."""
        return self.path / "timings.jsonl"

    @property
    def checkpoints(self) -> Path:
        """The last two checkpoints."""
        return self.path / "checkpoint"

    @property
    def store(self) -> Path:
        """The client store."""
        return self.path / "client_store.sqlite"

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Places a JSON file in one step."""
        write_atomic(self.path / name, json.dumps(content, indent=1, allow_nan=False) + "\n")

    def read_json(self, name: str) -> dict[str, Any]:
        """Returns the JSON object in a file of the folder."""
        path = self.path / name
        if not path.is_file():
            raise RequestError(f"{self.path}: holds no {name}; give the folder of a complete run")
        content = json.loads(path.read_text())
        assert isinstance(content, dict)
        return content


def append_line(path: Path, content: Mapping[str, Any]) -> None:
    """Appends one JSON object as a line, in one write."""
    with path.open("ab") as stream:
        stream.write((json.dumps(content, allow_nan=False) + "\n").encode())


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Returns the objects in a JSON-lines file; a last line that was cut off is left out."""
    if not path.is_file():
        return []
    lines: list[dict[str, Any]] = []
    for line in path.read_bytes().split(b"\n"):
        if not line:
            continue
        try:
            lines.append(json.loads(line))
        except ValueError:
            break
    return lines


def keep_rounds(path: Path, last: int) -> list[dict[str, Any]]:
    """Cuts a JSON-lines file after round ``last`` and returns what stays."""
    if not path.exists():
        return []
    kept = [line for line in read_lines(path) if line["round"] <= last]
    write_atomic(path, "".join(json.dumps(line, allow_nan=False) + "\n" for line in kept))
    return kept

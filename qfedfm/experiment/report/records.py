"""What a report reads of a run's folder; parts that are not there yet are empty, not an error."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qfedfm.core.errors import RequestError
from qfedfm.experiment.folder import RunFolder, read_lines


@dataclass(frozen=True)
class Records:
    """One run as its folder tells it.

    Args:
        folder: Where it lies.
        config: The complete configuration.
        config_text: The same, as it was written.
        rounds: Lines of ``rounds.jsonl``, a first one with round 0 if it is there.
        timings: Lines of ``timings.jsonl``.
        environment: ``environment.json``.
        clients: ``clients.json``.
        summary: ``summary.json``; empty while the run is not complete.
        scores: ``scores.json``.
    """

    folder: Path
    config: Mapping[str, Any]
    config_text: str
    rounds: list[dict[str, Any]]
    timings: list[dict[str, Any]]
    environment: Mapping[str, Any]
    clients: Mapping[str, Any]
    summary: Mapping[str, Any]
    scores: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The run's name."""
        return str(self.config.get("name") or self.folder.name)

    @property
    def complete(self) -> bool:
        """Whether the run reached its last round."""
        return bool(self.summary) and self.summary.get("status", "complete") == "complete"

    @property
    def last_round(self) -> int | None:
        """The last recorded round."""
        return int(self.rounds[-1]["round"]) if self.rounds else None

    def option(self, path: str, default: Any = None) -> Any:
        """Returns the configuration's value at a dotted path."""
        value: Any = self.config
        for key in path.split("."):
            if not isinstance(value, Mapping) or key not in value:
                return default
            value = value[key]
        return value

    def curve(self, key: str) -> list[tuple[int, float]]:
        """Returns ``(round, value)`` of the rounds that have the key."""
        return [(int(line["round"]), float(line[key])) for line in self.rounds if line.get(key) is not None]


def read(folder: Path) -> Records:
    """Reads a run's folder.

    Raises:
        RequestError: If it is not the folder of a run, or a record in it is damaged.
    """
    import yaml

    paths = RunFolder(folder)
    if not paths.config.is_file():
        raise RequestError(f"{folder}: holds no config.yaml; give the folder of a run")
    text = paths.config.read_text(encoding="utf-8")
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RequestError(f"{paths.config}: is not a YAML file any more") from error
    if not isinstance(config, dict):
        raise RequestError(f"{paths.config}: holds no configuration")
    return Records(
        folder=folder,
        config=config,
        config_text=text,
        rounds=read_lines(paths.rounds),
        timings=read_lines(paths.timings),
        environment=_json(folder / "environment.json"),
        clients=_json(folder / "clients.json"),
        summary=_json(paths.summary),
        scores=_json(folder / "scores.json"),
    )


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RequestError(f"{path}: is not a JSON file any more") from error
    if not isinstance(content, dict):
        raise RequestError(f"{path}: holds no JSON object")
    return content

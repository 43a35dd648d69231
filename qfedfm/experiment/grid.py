"""The cells of a comparison: every combination of what varies, those that run, and those that are compared.

An axis is a key path with its values, or a name with bundles: per label, several key paths and their values
at once (a rule with the number of rounds it needs, a data set with its columns).
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qfedfm.core.config import nearest
from qfedfm.core.errors import RequestError
from qfedfm.experiment.config import Experiment

Vary = Mapping[str, Sequence[Any] | Mapping[str, Any]]


@dataclass(frozen=True)
class Cell:
    """One point of the grid.

    Args:
        label: How it is called in the table.
        settings: Values by key path.
        place: Its label on each axis.
    """

    label: str
    settings: dict[str, Any]
    place: dict[str, str] = field(default_factory=dict)


def grid(vary: Vary) -> list[Cell]:
    """Returns every combination of the varied values, the first of each first."""
    axes = []
    for path, values in vary.items():
        if not values:
            raise RequestError(f"vary.{path} is empty; list at least one value")
        pairs = list(values.items()) if isinstance(values, Mapping) else [(_label(v), v) for v in values]
        labels = [label for label, _ in pairs]
        for label in labels:
            if labels.count(label) > 1:
                raise RequestError(
                    f"vary.{path}: two values are both called {label!r}; give labels, as in {{label: value}}"
                )
        axes.append([(path, str(label), _settings(path, value)) for label, value in pairs])
    return [
        Cell(
            ", ".join(label for _, label, _ in point),
            {path: value for _, _, settings in point for path, value in settings.items()},
            {path: label for path, label, _ in point},
        )
        for point in itertools.product(*axes)
    ]


def _settings(path: str, value: Any) -> dict[str, Any]:
    if path.split(".")[0] in Experiment.model_fields:
        return {path: value}
    if not isinstance(value, Mapping):
        raise RequestError(
            f"vary.{path} is no key of an experiment{nearest(path, Experiment.model_fields)}; a name of your "
            "own needs a mapping of key paths to values for each label"
        )
    return dict(value)


def _label(value: Any) -> str:
    if isinstance(value, Mapping) and "kind" in value:
        rest = [f"{key}={entry}" for key, entry in value.items() if key != "kind"]
        return " ".join([str(value["kind"]), *rest])
    return json.dumps(value) if isinstance(value, list | dict) else str(value)


def matches(cell: Cell, condition: Mapping[str, Sequence[str]], first: Mapping[str, str]) -> bool:
    """Returns whether a cell lies in a part of the grid; axes not named stay at their first label."""
    return all(label in condition.get(axis, (first[axis],)) for axis, label in cell.place.items())


def possible(cells: Sequence[Cell], impossible: Sequence[Mapping[str, Sequence[str]]]) -> list[Cell]:
    """Returns the cells that lie in none of the parts ``impossible``.

    Raises:
        RequestError: If a part names an axis or a label that does not exist.
    """
    _check(cells, impossible, "impossible")
    return [
        cell
        for cell in cells
        if not any(all(cell.place[axis] in labels for axis, labels in part.items()) for part in impossible)
    ]


def _check(cells: Sequence[Cell], parts: Sequence[Mapping[str, Sequence[str]]], key: str) -> None:
    first = cells[0].place
    for part in parts:
        for axis, labels in part.items():
            if axis not in first:
                raise RequestError(f"{key} names the axis {axis!r}{nearest(axis, first)}")
            known = {cell.place[axis] for cell in cells}
            for label in labels:
                if label not in known:
                    raise RequestError(f"{key}.{axis} names {label!r}{nearest(label, known)}")


def in_core(cells: Sequence[Cell], core: Sequence[Mapping[str, Sequence[str]]]) -> list[Cell]:
    """Returns the cells in one of the parts ``core``, or all where there are none.

    Raises:
        RequestError: If a part names an axis or a label that does not exist.
    """
    if not core:
        return list(cells)
    _check(cells, core, "core")
    first = cells[0].place
    return [cell for cell in cells if any(matches(cell, condition, first) for condition in core)]


def chosen(
    cells: Sequence[Cell],
    core: Sequence[Mapping[str, Sequence[str]]],
    wanted: Sequence[str],
    within: str | None,
) -> list[Cell]:
    """Returns the cells to run: the core, or those whose label contains one of ``wanted``.

    The cell that others are compared with always runs: the first, or with ``within`` the first of that axis
    beside each chosen cell.

    Raises:
        RequestError: If no cell's label contains a wanted text.
    """
    picked = in_core(cells, core)
    if wanted:
        for name in wanted:
            if not any(name in cell.label for cell in cells):
                shown = "; ".join(cell.label for cell in cells[:20])
                more = f"; and {len(cells) - 20} more" if len(cells) > 20 else ""
                raise RequestError(f"--cells {name}: no cell is called so; there are {shown}{more}")
        picked = [cell for cell in cells if any(name in cell.label for name in wanted)]
    groups = {group(cell, within) for cell in picked}
    return [
        cell
        for cell in cells
        if cell in picked or (group(cell, within) in groups and is_reference(cell, cells, within))
    ]


def group(cell: Cell, within: str | None) -> str:
    """Returns the name of the cells that one is compared with: its labels on all axes but ``within``."""
    return ", ".join(label for axis, label in cell.place.items() if axis != within) if within else ""


def is_reference(cell: Cell, cells: Sequence[Cell], within: str | None) -> bool:
    """Returns whether others are compared with this cell."""
    return cell.place[within] == cells[0].place[within] if within else cell == cells[0]

"""A comparison file: what varies around which experiment, how often, what is chosen on validation data."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from qfedfm.core.config import Config, nearest
from qfedfm.core.errors import RequestError
from qfedfm.experiment.grid import Cell, in_core
from qfedfm.experiment.loading import explain, read_yaml

QUICK_SEEDS = 2
QUICK_ROUNDS = 2
Trial = tuple[tuple[str, Any], ...]


class Selection(Config):
    """What each cell chooses, and by which measure on validation data.

    Args:
        over: Values to choose from, by key path; the grid of all of them is searched.
        by: The validation measure; accuracy is maximised, loss minimised. ``client_accuracy`` is the mean
            over clients' validation parts of each one's own model, where methods make some.
        per: Axes; cells with the same labels on them share one choice, made in the first of them that lies
            in the core (or in the grid). By default each cell chooses for itself.
        seeds: How many of the seeds the search runs on; null for all.
    """

    over: dict[str, tuple[Any, ...]]
    by: Literal["validation_accuracy", "validation_loss", "client_accuracy"] = "validation_accuracy"
    per: tuple[str, ...] | None = None
    seeds: Annotated[int, Field(ge=1)] | None = None


class ComparisonFile(Config):
    """A comparison file.

    Args:
        name: Names the folder below ``runs/``.
        base: An experiment (keys and values), or the path of an experiment file beside this one.
        vary: Per key path, a list of values or a mapping of label to value; the grid of all of them.
            The first cell is the row that others are compared with.
        seeds: A number of seeds (0, 1, ...) or a list of them.
        select: What each cell chooses on validation data.
        within: The axis whose cells are compared with each other, all else equal; null for one table.
        core: Parts of the grid that run unless ``--cells`` names others: per axis a list of labels; axes
            that are not named stay at their first label. Empty for the whole grid.
        impossible: Parts of the grid that have no meaning and are left out: per axis a list of labels; axes
            that are not named are taken whole.
        metrics: The numbers of the summaries that are compared, a table each; the first also in the CSV.
        published: A file of published rows beside this one, for verdicts; see ``verdicts``.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    base: dict[str, Any] | str
    vary: dict[str, list[Any] | dict[str, Any]]
    seeds: Annotated[int, Field(ge=1)] | tuple[int, ...] = 5
    select: Selection | None = None
    within: str | None = None
    core: tuple[dict[str, tuple[str, ...]], ...] = ()
    impossible: tuple[dict[str, tuple[str, ...]], ...] = ()
    metrics: Annotated[tuple[str, ...], Field(min_length=1)] = ("test_accuracy",)
    published: str | None = None


def read_file(path: Path) -> ComparisonFile:
    """Returns the comparison file at ``path``, checked."""
    content = read_yaml(path)
    try:
        return ComparisonFile.model_validate(content)
    except ValidationError as error:
        _, sentence = explain(error, ComparisonFile)
        raise RequestError(
            f"{path}: {sentence}; a comparison file has name, base, vary, seeds, select"
        ) from None


def base_of(file: ComparisonFile, path: Path) -> dict[str, Any]:
    """Returns the experiment that all cells share."""
    if isinstance(file.base, str):
        return read_yaml(path.parent / file.base)
    return file.base


def seeds_of(file: ComparisonFile, wanted: int | None, quick: bool) -> list[int]:
    """Returns the seeds to run."""
    listed = list(range(file.seeds)) if isinstance(file.seeds, int) else list(file.seeds)
    if wanted is not None:
        listed = listed[:wanted] if wanted <= len(listed) else list(range(wanted))
    if not listed or len(set(listed)) != len(listed):
        raise RequestError("seeds: give at least one seed, each once")
    return listed[:QUICK_SEEDS] if quick else listed


def trials_of(selection: Selection | None) -> list[Trial]:
    """Returns the grid of values that are searched, each as pairs of key path and value."""
    if selection is None:
        return [()]
    axes = [[(path, value) for value in values] for path, values in selection.over.items()]
    return [tuple(point) for point in itertools.product(*axes)]


def search_cells(
    everything: Sequence[Cell],
    cells: Sequence[Cell],
    selection: Selection | None,
    file: ComparisonFile,
    numbers: Sequence[int],
) -> dict[str, Cell]:
    """Returns, per cell that runs, the cell in which its settings are chosen."""
    if selection is None or selection.per is None:
        return {cell.label: cell for cell in cells}
    for axis in selection.per:
        if axis not in everything[0].place:
            raise RequestError(f"select.per names the axis {axis!r}{nearest(axis, everything[0].place)}")
    first: dict[tuple[str, ...], Cell] = {}
    for cell in [*in_core(everything, file.core), *everything]:
        first.setdefault(tuple(cell.place[axis] for axis in selection.per), cell)
    return {cell.label: first[tuple(cell.place[axis] for axis in selection.per)] for cell in cells}


def unique(cells: Iterable[Cell]) -> list[Cell]:
    """Returns the cells, each label once."""
    return list({cell.label: cell for cell in cells}.values())

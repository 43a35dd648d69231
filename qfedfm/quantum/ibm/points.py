"""The points at which a circuit from a file is run: its inputs and weights, by name or as arrays.

N = points, n = inputs, m = weights.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qfedfm.circuits import Circuit
from qfedfm.circuits.openqasm import read_qasm_file
from qfedfm.core.config import nearest
from qfedfm.core.errors import RequestError

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Subject:
    """A circuit and where it is evaluated.

    Attributes:
        circuit: The circuit.
        inputs: Shape (N, n), radians.
        weights: Shape (N, m), radians.
        source: The file or run, as the user named it.
        notes: Sentences for the user.
    """

    circuit: Circuit
    inputs: Floats
    weights: Floats
    source: str
    notes: tuple[str, ...] = ()

    @property
    def samples(self) -> int:
        """N."""
        return len(self.inputs)


def read_subject(path: Path, parameters: Path | None = None) -> Subject:
    """Reads a circuit and its points.

    Args:
        path: An OpenQASM 3 file.
        parameters: A JSON file: ``{"x_0": 0.1, "w_0": [0.2, 0.3]}`` (a number, or one for each point), or
            ``{"inputs": [[...], ...], "weights": [...]}``. Without one, a file of the gallery is run at the
            points that stand in the JSON beside it.

    Raises:
        RequestError: A file cannot be read, or numbers are missing, too many or not finite.
    """
    found = read_qasm_file(path)
    circuit = found.circuit
    names = [*found.inputs, *found.weights]
    if parameters is not None:
        content = _json(parameters)
        inputs, weights = _points(content, circuit, found.inputs, found.weights, str(parameters))
    elif not names:
        inputs, weights = np.zeros((1, 0)), np.zeros((1, 0))
    else:
        beside = path.with_suffix(".json")
        if not beside.is_file():
            raise RequestError(
                f"{path} has the parameters {', '.join(names)}: give their values with --parameters "
                f'FILE.json, for example {{"{names[0]}": 0.1, ...}}'
            )
        try:
            points = _json(beside)["points"]
            inputs = np.array([point["inputs"] for point in points], dtype=float)
            weights = np.array([point["weights"] for point in points], dtype=float)
        except (KeyError, TypeError, ValueError) as error:
            raise RequestError(
                f"{beside}: holds no points of this circuit; give --parameters FILE.json"
            ) from error
        inputs, weights = inputs.reshape(len(points), -1), weights.reshape(len(points), -1)
        if (inputs.shape[1], weights.shape[1]) != (circuit.n_inputs, circuit.n_weights):
            raise RequestError(f"{beside}: its points do not fit {path}; give --parameters FILE.json")
    return Subject(circuit, inputs, weights, str(path), found.notes)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RequestError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise RequestError(f"{path}: not JSON ({error})") from error


def _points(
    content: Any, circuit: Circuit, inputs: Sequence[str], weights: Sequence[str], source: str
) -> tuple[Floats, Floats]:
    if not isinstance(content, Mapping):
        raise RequestError(f"{source}: expected an object of parameters and their values")
    if set(content) <= {"inputs", "weights"}:
        blocks = [
            _block(content.get(key, []), count, key, source)
            for key, count in (("inputs", circuit.n_inputs), ("weights", circuit.n_weights))
        ]
    else:
        known = [*inputs, *weights]
        for name in content:
            if name not in known:
                raise RequestError(f"{source}: the circuit has no parameter {name!r}{nearest(name, known)}")
        missing = [name for name in known if name not in content]
        if missing:
            raise RequestError(f"{source}: no value for {', '.join(missing)}")
        columns = {name: _numbers(content[name], name, source) for name in known}
        count = max((len(column) for column in columns.values()), default=1)
        for name, column in columns.items():
            if len(column) not in (1, count):
                raise RequestError(f"{source}: {name} has {len(column)} values, others have {count}")
        blocks = [
            np.array([np.resize(columns[name], count) for name in part], dtype=float)
            .reshape(len(part), count)
            .T
            for part in (inputs, weights)
        ]
    count = max(len(block) for block in blocks)
    for key, block in zip(("inputs", "weights"), blocks, strict=True):
        if len(block) not in (1, count):
            raise RequestError(f"{source}: {len(block)} rows of {key} for {count} points; give 1 or {count}")
    x, w = (np.broadcast_to(block, (count, block.shape[1])).copy() for block in blocks)
    return x, w


def _block(given: Any, count: int, key: str, source: str) -> Floats:
    try:
        rows = np.array(given, dtype=float)
    except (TypeError, ValueError) as error:
        raise RequestError(f"{source}: {key} is not an array of numbers") from error
    if rows.ndim == 1:
        rows = rows[None, :]
    if rows.ndim != 2 or rows.shape[1] != count or not len(rows):
        raise RequestError(f"{source}: {key} must have shape ({count},) or (points, {count})")
    if not np.isfinite(rows).all():
        raise RequestError(f"{source}: {key} contains NaN or infinity")
    return rows


def _numbers(given: Any, name: str, source: str) -> list[float]:
    values = given if isinstance(given, list) else [given]
    good = all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in values)
    if not values or not good:
        raise RequestError(f"{source}: {name} must be a finite number or a list of such")
    return [float(value) for value in values]

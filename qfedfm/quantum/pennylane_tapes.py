"""From a PennyLane tape to a circuit: broadcast parameters become inputs, all others weights.

What is recognised is kept by the structure of the tape, so that a training step translates nothing. The
templates that circuit heads are made of are taken whole.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pennylane as qml

from qfedfm.circuits import Angle, Circuit, Gate, Observable, Register, input_angle, pauli, weight_angle
from qfedfm.core.recent import Recent
from qfedfm.quantum.pennylane_executor import OPERATIONS

_GATES = {operation.__name__: name for name, operation in OPERATIONS.items()} | {
    "Adjoint(S)": "sdg",
    "Adjoint(T)": "tdg",
}
_TEMPLATES = ("AngleEmbedding", "BasicEntanglerLayers", "StronglyEntanglingLayers")
_ENTANGLERS = {"CNOT": "cx", "CZ": "cz", "CY": "cy", "SWAP": "swap"}


def accepts(operation: Any) -> bool:
    """Whether an operation is taken as it is; all others are decomposed by PennyLane."""
    name = operation.name
    if name in ("AngleEmbedding", "BasicEntanglerLayers"):
        return getattr(operation.hyperparameters["rotation"], "__name__", "") in ("RX", "RY", "RZ")
    if name == "StronglyEntanglingLayers":
        return operation.hyperparameters["imprimitive"].__name__ in _ENTANGLERS
    return name in _GATES or name in ("GlobalPhase", "Barrier")


def expectation_strings(measurement: Any) -> Any:
    """Returns an expectation value's real sum of Pauli strings as ``((letters by wire, coefficient), ...)``.

    None for every other measurement.
    """
    if type(measurement) is not qml.measurements.ExpectationMP or measurement.obs is None:
        return None
    sentence = measurement.obs.pauli_rep
    if sentence is None:
        return None
    terms = tuple((tuple(word.items()), complex(coefficient)) for word, coefficient in sentence.items())
    return None if any(coefficient.imag for _, coefficient in terms) else terms


@dataclass(frozen=True)
class Form:
    """A tape's circuit, and where each parameter of the tape lies in it.

    ``places`` holds for every parameter: whether it is broadcast, its first position among inputs or
    weights, its shape without the broadcast axis.
    """

    circuit: Circuit
    places: tuple[tuple[bool, int, tuple[int, ...]], ...]


def _shapes(operation: Any) -> tuple[tuple[bool, tuple[int, ...]], ...]:
    found = []
    dimensions = operation.ndim_params
    for value, dimension in zip(operation.data, dimensions, strict=True):
        shape = np.shape(value)
        batched = len(shape) > dimension
        found.append((batched, tuple(shape[1:] if batched else shape)))
    return tuple(found)


def _detail(operation: Any) -> Hashable:
    extra = operation.hyperparameters
    if operation.name == "StronglyEntanglingLayers":
        return tuple(extra["ranges"]), extra["imprimitive"].__name__
    if operation.name in _TEMPLATES:
        return str(extra["rotation"].__name__)
    return None


_FORMS: Recent[Form] = Recent(256)


def form(tape: Any, expectations: bool) -> Form:
    """Returns the form of a tape whose wires are 0, 1, 2, ...; recent ones are kept.

    Args:
        tape: Made of operations that :func:`accepts` takes.
        expectations: Whether the tape's observables are those of the circuit; otherwise the circuit is run
            for its state.
    """
    operations = tuple((op.name, tuple(op.wires), _shapes(op), _detail(op)) for op in tape.operations)
    strings = tuple(expectation_strings(m) for m in tape.measurements) if expectations else None
    key = (tape.num_wires, operations, strings)
    return _FORMS.get(key, lambda: _build(tape.num_wires, operations, strings))


def _build(qubits: int, operations: Any, strings: Any) -> Form:
    counts = {True: 0, False: 0}
    gates: list[Gate] = []
    places = []
    for name, wires, shapes, detail in operations:
        angles: list[npt.NDArray[Any]] = []
        for batched, shape in shapes:
            first, size = counts[batched], int(np.prod(shape, dtype=int))
            counts[batched] += size
            places.append((batched, first, shape))
            make = input_angle if batched else weight_angle
            cells = np.empty(size, dtype=object)
            cells[:] = [make(first + number) for number in range(size)]
            angles.append(cells.reshape(shape))
        gates += _expand(name, wires, angles, detail)
    observables = (pauli("Z", 0),) if strings is None else tuple(_observable(terms) for terms in strings)
    circuit = Circuit(
        qubits,
        tuple(gates),
        observables,
        (Register("x", 0, (counts[True],)),),
        (Register("w", 0, (counts[False],)),),
        name="PennyLane tape",
    )
    return Form(circuit, tuple(places))


def _observable(terms: Any) -> Observable:
    return Observable(tuple((coefficient.real, tuple(sorted(word))) for word, coefficient in terms))


def _expand(name: str, wires: tuple[int, ...], angles: list[npt.NDArray[Any]], detail: Any) -> list[Gate]:
    if name in ("GlobalPhase", "Barrier"):
        return []
    if name == "AngleEmbedding":
        return [Gate(detail.lower(), (wires[k],), (a,)) for k, a in enumerate(angles[0])]
    if name == "BasicEntanglerLayers":
        found = []
        for row in angles[0]:
            found += [Gate(detail.lower(), (wires[k],), (a,)) for k, a in enumerate(row)]
            found += _ring(wires, 1, "cx") if len(wires) > 2 else _pair(wires, "cx")
        return found
    if name == "StronglyEntanglingLayers":
        ranges, entangler = detail
        found = []
        for layer, row in enumerate(angles[0]):
            found += [Gate("rot", (wires[k],), tuple(three)) for k, three in enumerate(row)]
            if len(wires) > 1:
                found += _ring(wires, ranges[layer], _ENTANGLERS[entangler])
        return found
    single: tuple[Angle, ...] = tuple(cell.item() for cell in angles)
    return [Gate(_GATES[name], wires, single)]


def _ring(wires: tuple[int, ...], reach: int, gate: str) -> list[Gate]:
    return [Gate(gate, (wires[k], wires[(k + reach) % len(wires)])) for k in range(len(wires))]


def _pair(wires: tuple[int, ...], gate: str) -> list[Gate]:
    return [Gate(gate, wires)] if len(wires) == 2 else []


def numbers(tape: Any, shape: Form) -> tuple[Any, Any, int | None]:
    """Returns inputs ``(1, B, n)``, weights ``(1, m)`` and the batch size of a tape (None: not broadcast).

    float32 if every parameter is, else float64.
    """
    values = [np.asarray(value) for operation in tape.operations for value in operation.data]
    dtype = np.float32 if values and all(value.dtype == np.float32 for value in values) else np.float64
    # Not tape.batch_size, which lets every operation check its parameters again.
    batch = next((len(v) for v, place in zip(values, shape.places, strict=True) if place[0]), None)
    x = np.empty((1, batch or 1, shape.circuit.n_inputs), dtype)
    w = np.empty((1, shape.circuit.n_weights), dtype)
    for value, (batched, first, cell) in zip(values, shape.places, strict=True):
        size = int(np.prod(cell, dtype=int))
        if batched:
            x[0, :, first : first + size] = value.reshape(value.shape[0], size)
        else:
            w[0, first : first + size] = value.reshape(size)
    return x, w, batch

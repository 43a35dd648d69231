"""A program through Qiskit: its OpenQASM reader, its statevectors, and gradients by parameter shift."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from qiskit import qasm3
from qiskit.quantum_info import SparsePauliOp, Statevector

from qfedfm.circuits import Observable
from qfedfm.core.errors import RequestError
from qfedfm.quantum.gallery.entries import Point

Array = npt.NDArray[np.float64]

# Shifts and their factors: two for generators with the eigenvalues +-1/2 (or 0 and 1), four for the
# controlled rotations, whose generators have -1/2, 0, 1/2. Wierichs et al., 2022, arXiv:2107.12390.
_TWO = ((math.pi / 2, 0.5), (-math.pi / 2, -0.5))
_PLUS, _MINUS = (math.sqrt(2) + 1) / (4 * math.sqrt(2)), (math.sqrt(2) - 1) / (4 * math.sqrt(2))
_FOUR = (
    (math.pi / 2, _PLUS), (-math.pi / 2, -_PLUS), (3 * math.pi / 2, -_MINUS), (-3 * math.pi / 2, _MINUS),
)  # fmt: skip
_SHIFTS = {
    "rx": _TWO, "ry": _TWO, "rz": _TWO, "p": _TWO, "u3": _TWO, "cp": _TWO,
    "crx": _FOUR, "cry": _FOUR, "crz": _FOUR,
}  # fmt: skip


def evaluate(
    program: str,
    observables: Sequence[Observable],
    names: Sequence[str],
    point: Point,
) -> tuple[Array, Array]:
    """Returns the values at a point and their derivatives by all parameters.

    Args:
        program: OpenQASM 3.
        observables: What is measured, qubits as in the program.
        names: Names of the parameters, inputs first.
        point: Their values.

    Returns:
        Shape ``(o,)`` and ``(o, parameters)``.
    """
    try:
        circuit = qasm3.loads(program)
    except Exception as error:
        raise RequestError(f"Qiskit cannot read the program: {error}") from error
    operators = [_operator(observable, circuit.num_qubits) for observable in observables]
    values = dict(zip(names, (*point.inputs, *point.weights), strict=True))
    steps = [
        (item.operation, [circuit.find_bit(qubit).index for qubit in item.qubits], item)
        for item in circuit.data
    ]
    if any(operation.name in ("measure", "if_else") for operation, _, _ in steps):
        return _branching(circuit, operators), np.zeros((len(operators), len(names)))
    bound = [[_value(angle, values) for angle in operation.params] for operation, _, _ in steps]
    states = [Statevector.from_int(0, 2**circuit.num_qubits)]
    for (operation, qubits, _), angles in zip(steps, bound, strict=True):
        states.append(states[-1].evolve(_with_angles(operation, angles), qubits))
    jacobian = np.zeros((len(operators), len(names)))

    def shifted(place: int, angle: int, shift: float) -> Array:
        moved = list(bound[place])
        moved[angle] += shift
        state = states[place].evolve(_with_angles(steps[place][0], moved), steps[place][1])
        for (operation, qubits, _), angles in zip(steps[place + 1 :], bound[place + 1 :], strict=True):
            state = state.evolve(_with_angles(operation, angles), qubits)
        return _expectations(state, operators)

    for place, (operation, _, _) in enumerate(steps):
        for number, angle in enumerate(operation.params):
            slopes = _slopes(angle, values)
            if not slopes:
                continue
            change = sum(
                (factor * shifted(place, number, shift) for shift, factor in _SHIFTS[operation.name]),
                np.zeros(len(operators)),
            )
            for name, slope in slopes.items():
                jacobian[:, names.index(name)] += slope * change
    return _expectations(states[-1], operators), jacobian


def _operator(observable: Observable, qubits: int) -> SparsePauliOp:
    terms = [
        ("".join(letter for _, letter in string), [qubit for qubit, _ in string], coefficient)
        for coefficient, string in observable.terms
    ]
    return SparsePauliOp.from_sparse_list(terms or [("", [], 0.0)], num_qubits=qubits)


def _expectations(state: Any, operators: Sequence[SparsePauliOp]) -> Array:
    return np.array([np.real(state.expectation_value(operator)) for operator in operators])


def _with_angles(operation: Any, angles: Sequence[float]) -> Any:
    return type(operation)(*angles) if angles else operation


def _value(angle: Any, values: dict[str, float]) -> float:
    if isinstance(angle, int | float):
        return float(angle)
    return float(angle.bind({parameter: values[parameter.name] for parameter in angle.parameters}))


def _slopes(angle: Any, values: dict[str, float]) -> dict[str, float]:
    if isinstance(angle, int | float):
        return {}
    return {parameter.name: _value(angle.gradient(parameter), values) for parameter in angle.parameters}


def _branching(circuit: Any, operators: Sequence[SparsePauliOp]) -> Array:
    """Exact values of a program that measures mid-way: every result is followed, by its probability."""
    branches: list[tuple[Statevector, dict[Any, bool]]] = [
        (Statevector.from_int(0, 2**circuit.num_qubits), {})
    ]  # states keep the norm of their probability
    for item in circuit.data:
        qubits = [circuit.find_bit(qubit).index for qubit in item.qubits]
        following: list[tuple[Statevector, dict[Any, bool]]] = []
        for state, known in branches:
            if item.operation.name == "measure":
                ones = np.arange(2**circuit.num_qubits) >> qubits[0] & 1 == 1
                for result in (False, True):
                    part = Statevector(np.where(ones == result, state.data, 0.0))
                    following.append((part, {**known, item.clbits[0]: result}))
            elif item.operation.name == "if_else":
                bit, wanted = item.operation.condition
                block = item.operation.blocks[0]
                taken = known[bit] == bool(wanted)
                following.append((state.evolve(block, qubits) if taken else state, known))
            else:
                following.append((state.evolve(item.operation, qubits), known))
        branches = following
    return np.asarray(sum(_expectations(state, operators) for state, _ in branches))

"""A program through PennyLane: its OpenQASM reader, default.qubit, and gradients by backpropagation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pennylane as qml
import torch

from qfedfm.circuits import Gate, Observable
from qfedfm.core.errors import RequestError
from qfedfm.quantum.gallery.entries import Point

Array = npt.NDArray[np.float64]
_INCLUDE = 'include "stdgates.inc";'


def evaluate(
    program: str,
    observables: Sequence[Observable],
    names: Sequence[str],
    point: Point,
    wires: Sequence[str],
    gates: Sequence[Gate] | None,
) -> tuple[Array, Array]:
    """Returns the values at a point and their derivatives by all parameters.

    PennyLane has the gates of ``stdgates.inc`` but raises on the include, so that line is left out. It
    turns some programs into other circuits without an error, so the wires of every operation are compared.

    Args:
        program: OpenQASM 3.
        observables: What is measured.
        names: Names of the parameters, inputs first.
        point: Their values.
        wires: The program's qubits by the names that PennyLane gives them, in order.
        gates: The gates that must come out, in order; None does not compare them (measurements).

    Returns:
        Shape ``(o,)`` and ``(o, parameters)``.

    Raises:
        RequestError: If PennyLane does not read the program, or reads another one.
    """
    bare = "\n".join(line for line in program.splitlines() if line.strip() != _INCLUDE)
    function = qml.from_qasm3(bare)

    def run(parameters: Any) -> None:
        function(**dict(zip(names, parameters, strict=True)))

    start = torch.tensor((*point.inputs, *point.weights), dtype=torch.float64)
    try:
        script = qml.tape.make_qscript(run)(start)
    except Exception as error:
        raise RequestError(f"PennyLane cannot read the program: {error}") from error
    if gates is not None:
        _compare(script.operations, wires, gates)
    # Mid-circuit results are deferred: to wires of their own.
    spare = [f"result {k}" for k in range(sum(op.name == "MidMeasureMP" for op in script.operations))]
    device = qml.device("default.qubit", wires=[*wires, *spare])
    options = {"mcm_method": "deferred"} if spare else {}

    def measured(parameters: Any) -> Any:
        run(parameters)
        return [qml.expval(_operator(observable, wires)) for observable in observables]

    node = qml.QNode(measured, device, interface="torch", diff_method="backprop", **options)

    def stacked(parameters: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.as_tensor(value, dtype=torch.float64) for value in node(parameters)])

    try:
        values = stacked(start).detach().numpy()
        if not names:
            return values, np.zeros((len(observables), 0))
        jacobian: Any = torch.autograd.functional.jacobian(stacked, start)  # type: ignore[no-untyped-call]
    except Exception as error:
        raise RequestError(f"PennyLane cannot run the program: {error}") from error
    return values, jacobian.numpy()


def _compare(operations: Sequence[Any], wires: Sequence[str], gates: Sequence[Gate]) -> None:
    if len(operations) != len(gates):
        raise RequestError(f"PennyLane reads {len(operations)} gates, the program has {len(gates)}")
    for place, (operation, gate) in enumerate(zip(operations, gates, strict=True)):
        wanted = [wires[qubit] for qubit in gate.qubits]
        if list(operation.wires) != wanted:
            raise RequestError(
                f"PennyLane puts gate {place} ({gate.name}) on wires {list(operation.wires)}, not on {wanted}"
            )


def _operator(observable: Observable, wires: Sequence[str]) -> Any:
    letters = {"X": qml.PauliX, "Y": qml.PauliY, "Z": qml.PauliZ}
    terms = []
    for coefficient, string in observable.terms:
        factors = [letters[letter](wires[qubit]) for qubit, letter in string]
        one = qml.Identity(wires[0]) if not factors else factors[0]
        terms.append(coefficient * (qml.prod(*factors) if len(factors) > 1 else one))
    if not terms:
        return 0.0 * qml.Identity(wires[0])
    return terms[0] if len(terms) == 1 else qml.sum(*terms)

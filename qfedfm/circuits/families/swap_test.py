"""The swap test: the overlap of two states. Buhrman, Cleve, Watrous, de Wolf, 2001, quant-ph/0102001."""

from __future__ import annotations

from qfedfm.circuits.angle import input_angle
from qfedfm.circuits.circuit import Circuit, Gate, Register, pauli
from qfedfm.core.errors import RequestError


def swap_test(*, qubits: int, layers: int) -> Circuit:
    """``<Z>`` of the first qubit is ``|<a|b>|**2`` of two states prepared by RY and CNOTs from the inputs.

    Used for: overlaps of two states without their sign, such as the likeness of two updates.

    Args:
        qubits: 1 + 2 m, for two states of m qubits: 3, 5, 7, ...
        layers: Layers of the preparation; inputs have shape ``(2, layers, m)``.
    """
    if qubits < 3 or qubits % 2 == 0:
        raise RequestError(f"qubits of circuit swap_test must be 3, 5, 7, ..., got {qubits}")
    size = qubits // 2
    gates: list[Gate] = []
    for side in range(2):
        first = 1 + side * size
        for layer in range(layers):
            start = (side * layers + layer) * size
            gates += [Gate("ry", (first + k,), (input_angle(start + k),)) for k in range(size)]
            gates += [Gate("cx", (first + k, first + k + 1)) for k in range(size - 1)]
    gates.append(Gate("h", (0,)))
    gates += [Gate("cswap", (0, 1 + k, 1 + size + k)) for k in range(size)]
    gates.append(Gate("h", (0,)))
    return Circuit(
        qubits,
        tuple(gates),
        (pauli("Z", 0),),
        inputs=(Register("x", 0, (2, layers, size)),),
        name="swap_test",
    )

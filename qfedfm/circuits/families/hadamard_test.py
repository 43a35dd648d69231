"""The Hadamard test: overlaps with their phase. Cleve, Ekert, Macchiavello, Mosca, 1998, quant-ph/9708016."""

from __future__ import annotations

from qfedfm.circuits.angle import input_angle, weight_angle
from qfedfm.circuits.circuit import Circuit, Gate, Register, pauli
from qfedfm.core.errors import RequestError


def hadamard_test(*, qubits: int, layers: int) -> Circuit:
    """``<X>`` and ``<Y>`` of the first qubit are the real and imaginary part of ``<psi|U|psi>``.

    ``psi`` is an RY embedding of the inputs on the other qubits; ``U`` is ``RY`` and ``RZ`` on each, per
    layer.

    Used for: signed overlaps, such as the cosine between two updates.

    Args:
        qubits: 1 + m, for a state of m qubits; at least 2.
        layers: Layers of U; weights have shape ``(layers, m, 2)``.
    """
    if qubits < 2:
        raise RequestError(f"qubits of circuit hadamard_test must be at least 2, got {qubits}")
    size = qubits - 1
    gates = [Gate("ry", (1 + k,), (input_angle(k),)) for k in range(size)]
    gates.append(Gate("h", (0,)))
    for layer in range(layers):
        for k in range(size):
            start = (layer * size + k) * 2
            gates.append(Gate("cry", (0, 1 + k), (weight_angle(start),)))
            gates.append(Gate("crz", (0, 1 + k), (weight_angle(start + 1),)))
    return Circuit(
        qubits,
        tuple(gates),
        (pauli("X", 0), pauli("Y", 0)),
        inputs=(Register("x", 0, (size,)),),
        weights=(Register("w", 0, (layers, size, 2)),),
        name="hadamard_test",
    )

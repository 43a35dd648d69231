"""Gates that prepare given real amplitudes. Möttönen et al., 2005, quant-ph/0407010."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from qfedfm.circuits.angle import constant
from qfedfm.circuits.circuit import Circuit, Gate
from qfedfm.core.errors import RequestError


def with_fixed_amplitudes(circuit: Circuit, amplitudes: Sequence[float]) -> Circuit:
    """Returns the circuit with gates that prepare ``amplitudes`` in place of its inputs.

    Args:
        circuit: One that takes amplitudes as inputs.
        amplitudes: ``2**qubits`` real numbers, normalised here.
    """
    if not circuit.amplitudes:
        raise RequestError(f"circuit {circuit.name} takes angles as inputs, not amplitudes")
    if len(amplitudes) != circuit.n_inputs:
        raise RequestError(
            f"circuit {circuit.name} takes {circuit.n_inputs} amplitudes, got {len(amplitudes)}"
        )
    gates = (*prepare_amplitudes(amplitudes), *circuit.gates)
    return replace(circuit, gates=gates, inputs=(), amplitudes=False)


def prepare_amplitudes(amplitudes: Sequence[float]) -> list[Gate]:
    """Returns ``ry`` and ``cx`` gates that take 0 to the state with these amplitudes, normalised.

    One multiplexed ``RY`` a qubit, qubit 0 first: it splits the weight of every block in two.

    Args:
        amplitudes: ``2**n`` real numbers, not all zero.
    """
    qubits = len(amplitudes).bit_length() - 1
    if len(amplitudes) != 2**qubits or qubits < 1:
        raise RequestError(f"amplitudes must be 2, 4, 8, ... numbers, got {len(amplitudes)}")
    if not all(math.isfinite(value) for value in amplitudes) or not any(amplitudes):
        raise RequestError("amplitudes must be finite, and not all zero")
    gates: list[Gate] = []
    for qubit in range(qubits):
        half = 2 ** (qubits - qubit - 1)
        angles = []
        for block in range(2**qubit):
            start = 2 * half * block
            low, high = amplitudes[start : start + half], amplitudes[start + half : start + 2 * half]
            if half == 1:  # the last qubit carries the signs
                angles.append(2.0 * math.atan2(high[0], low[0]))
            else:
                angles.append(2.0 * math.atan2(math.hypot(*high), math.hypot(*low)))
        gates += _multiplexed_ry(qubit, angles)
    return gates


def _multiplexed_ry(target: int, angles: list[float]) -> list[Gate]:
    """``RY`` of ``target`` by ``angles[b]`` where the qubits before it read ``b`` (qubit 0 first)."""
    if target == 0:
        return [Gate("ry", (0,), (constant(angles[0]),))]
    count = len(angles)
    gates: list[Gate] = []
    for step in range(count):
        gray = step ^ (step >> 1)
        total = sum((-1) ** (gray & block).bit_count() * angle for block, angle in enumerate(angles))
        gates.append(Gate("ry", (target,), (constant(total / count),)))
        following = (step + 1) % count
        changed = (gray ^ following ^ (following >> 1)).bit_length() - 1
        gates.append(Gate("cx", (target - 1 - changed, target)))
    return gates

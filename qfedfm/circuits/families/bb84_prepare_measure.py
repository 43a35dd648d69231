"""Prepare and measure as in BB84. Bennett, Brassard, 1984, doi:10.1016/j.tcs.2014.05.025."""

from __future__ import annotations

import math

from qfedfm.circuits.angle import input_angle
from qfedfm.circuits.circuit import Circuit, Gate, Register
from qfedfm.circuits.families.blocks import measure_all
from qfedfm.core.errors import RequestError


def bb84_prepare_measure(*, qubits: int, layers: int) -> Circuit:
    """One pulse per qubit: a bit in one of two bases, measured in one of two.

    Inputs are 0 or 1: registers ``bit``, ``sent`` (basis of the sender) and ``read`` (basis of the receiver),
    each of shape ``(qubits,)``. ``<Z>`` is ``1 - 2 bit`` if the bases agree and 0 if they do not.

    Used for: the quantum part of key distribution, one pulse a qubit.

    Args:
        qubits: Number of pulses.
        layers: Must be 1.
    """
    if layers != 1:
        raise RequestError(f"layers of circuit bb84_prepare_measure must be 1, got {layers}")
    gates: list[Gate] = []
    for q in range(qubits):
        gates += [
            Gate("ry", (q,), (input_angle(q, math.pi),)),
            Gate("ry", (q,), (input_angle(qubits + q, math.pi / 2),)),
            Gate("ry", (q,), (input_angle(2 * qubits + q, -math.pi / 2),)),
        ]
    return Circuit(
        qubits,
        tuple(gates),
        measure_all(qubits),
        inputs=tuple(Register(name, k * qubits, (qubits,)) for k, name in enumerate(("bit", "sent", "read"))),
        name="bb84_prepare_measure",
    )

"""Addition in Fourier space. Draper, 2000, quant-ph/0008033."""

from __future__ import annotations

import math

from qfedfm.circuits.angle import constant, input_angle
from qfedfm.circuits.circuit import Circuit, Gate, Register
from qfedfm.circuits.families.blocks import measure_all


def qft_sum(*, qubits: int, layers: int, clients: int = 2) -> Circuit:
    """Each client adds its number by phases; the inverse Fourier transform shows the sum.

    With whole numbers as inputs, ``<Z>`` of qubit ``q`` is ``1 - 2 b`` for bit ``b`` of the sum modulo
    ``2**qubits``, qubit 0 being the most significant bit.

    Used for: adding the clients' numbers exactly, modulo a power of two.

    Args:
        qubits: Number of bits of the sum.
        layers: How often every client adds its number.
        clients: Number of clients, one input each.
    """
    gates = [Gate("h", (q,)) for q in range(qubits)]  # the Fourier transform of 0
    for _ in range(layers):
        for client in range(clients):
            # |k> gets exp(2 pi i k x / 2**n); qubit q carries k's bit of weight 2**(n-1-q)
            gates += [
                Gate("p", (q,), (input_angle(client, 2.0 * math.pi / 2 ** (q + 1)),)) for q in range(qubits)
            ]
    # inverse transform; qubit 0 (phase: half the number) ends as the least significant bit, so swap
    for q in range(qubits):
        for other in range(q):
            gates.append(Gate("cp", (other, q), (constant(-math.pi / 2 ** (q - other)),)))
        gates.append(Gate("h", (q,)))
    gates += [Gate("swap", (q, qubits - 1 - q)) for q in range(qubits // 2)]
    return Circuit(
        qubits,
        tuple(gates),
        measure_all(qubits),
        inputs=(Register("x", 0, (clients,)),),
        name="qft_sum",
    )

"""The circuits of a QFT sum, through the executors, and the distribution of their outcomes.

Shapes: d = numbers, K = clients, m = bits.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qfedfm.circuits import Circuit, Gate, Register, constant, family, input_angle, pauli
from qfedfm.core.errors import RequestError

if TYPE_CHECKING:
    import torch


def outcome_chances(total: float, bits: int) -> NDArray[np.float64]:
    """Returns the probability of each outcome, shape (2^m,), for any real sum of the clients' numbers.

    ``P(k) = |2^-m Σ_j e^(2πi j (total - k) / 2^m)|²``: 1 at the sum mod 2^m for a whole number.
    """
    size = 1 << bits
    away = (total - np.arange(size)) * (2.0 * math.pi / size)
    chances: NDArray[np.float64] = np.abs(np.exp(1j * np.outer(away, np.arange(size))).mean(axis=1)) ** 2
    return chances


def measured_sums(
    numbers_KD: NDArray[np.int64], bits: int, executor: str, generator: torch.Generator | None = None
) -> NDArray[np.int64]:
    """Returns each measured sum mod 2^m, shape (d,), from one shot of the family ``qft_sum``.

    Args:
        numbers_KD: q, shape (K, d), signed.
        bits: m.
        executor: As in :func:`qfedfm.quantum.expectations`.
        generator: Source of outcomes.
    """
    import torch

    from qfedfm.quantum import expectations

    circuit = family("qft_sum", qubits=bits, clients=len(numbers_KD))
    values = expectations(
        circuit,
        torch.from_numpy(np.ascontiguousarray(numbers_KD.T, dtype=np.float64)),
        torch.zeros(0, dtype=torch.float64),
        executor,
        shots=1,
        generator=generator,
    )
    ones = ((1.0 - values.numpy()) / 2.0).round().astype(np.int64)
    sums: NDArray[np.int64] = ones @ (1 << np.arange(bits - 1, -1, -1, dtype=np.int64))
    return sums


def with_copy(clients: int, bits: int, lost: int | None = None, after: int = 0) -> Circuit:
    """Returns the whole protocol: travelling register, the server's copy, and a stranger for a lost photon.

    Qubits 0 to m - 1 travel, m to 2m - 1 stay; if a photon is lost, qubit 2m takes its place in state 0.
    Observables are Z of the travelling qubits, then of the copies: those are 1 if nothing happened.

    Args:
        clients: K.
        bits: m.
        lost: The travelling qubit that is lost; None for none.
        after: How many clients it passed before.
    """
    if lost is not None and not (0 <= lost < bits and 0 <= after <= clients):
        raise RequestError(f"qubit {lost} lost after client {after}: there are {bits} and {clients}")
    gates = [Gate("h", (q,)) for q in range(bits)] + [Gate("cx", (q, bits + q)) for q in range(bits)]
    for client in range(clients + 1):
        if lost is not None and client == after:
            gates.append(Gate("swap", (lost, 2 * bits)))
        if client < clients:
            gates += [
                Gate("p", (q,), (input_angle(client, 2.0 * math.pi / 2 ** (q + 1)),)) for q in range(bits)
            ]
    gates += [Gate("cx", (q, bits + q)) for q in range(bits)]
    for q in range(bits):
        gates += [Gate("cp", (other, q), (constant(-math.pi / 2 ** (q - other)),)) for other in range(q)]
        gates.append(Gate("h", (q,)))
    gates += [Gate("swap", (q, bits - 1 - q)) for q in range(bits // 2)]
    return Circuit(
        2 * bits + (lost is not None),
        tuple(gates),
        tuple(pauli("Z", q) for q in range(2 * bits)),
        inputs=(Register("x", 0, (clients,)),),
        name="qft_sum_with_copy",
    )

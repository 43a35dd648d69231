"""The circuit itself, through the executors: the family ``ghz_phase_sum``, or the same on a perfect source.

With noise the source is taken to be perfect, as in the formula: the GHZ state is made by gates on two qubits,
and each client's turn is the one noisy gate on its qubit.

Shapes: d = parameters, K = clients.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qfedfm.circuits import Circuit, Gate, Register, constant, family, input_angle, pauli

if TYPE_CHECKING:
    import torch

#: Outcomes that are held in memory at a time.
_HELD = 1 << 22


def perfect_source(clients: int) -> Circuit:
    """Returns the family's circuit with turns as its only gates on one qubit; K is at least 2.

    ``RXX(pi/2)`` takes 00 to (00 - i 11)/sqrt 2; the first turn takes the -i back.
    """
    wires = range(clients)
    turns = [input_angle(k) + (math.pi / 2 if k == 0 else 0.0) for k in wires]
    return Circuit(
        clients,
        (
            Gate("rxx", (0, 1), (constant(math.pi / 2),)),
            *(Gate("cx", (k, k + 1)) for k in range(1, clients - 1)),
            *(Gate("rz", (k,), (turn,)) for k, turn in zip(wires, turns, strict=True)),
        ),
        (pauli("X" * clients, *wires), pauli("Y" + "X" * (clients - 1), *wires)),
        inputs=(Register("x", 0, (clients,)),),
        name="ghz_phase_sum_perfect_source",
    )


def measured_quadratures(
    angles_KD: NDArray[np.float64],
    shots: int | None,
    executor: str = "statevector",
    *,
    depolarizing: float = 0.0,
    generator: torch.Generator | None = None,
) -> NDArray[np.float64]:
    """Returns the mean parities in X and with one Y, shape (2, d).

    Args:
        angles_KD: θ, shape (K, d), radians.
        shots: States for each of the two; None for the exact means.
        executor: As in :func:`qfedfm.quantum.expectations`; with noise ``aer:density_matrix`` or
            ``pennylane:default.mixed``.
        depolarizing: Total probability of a Pauli error on each client's qubit.
        generator: Source of outcomes.
    """
    import torch

    from qfedfm.quantum import Noise, expectations

    clients, size = angles_KD.shape
    angles = torch.from_numpy(np.ascontiguousarray(angles_KD.T, dtype=np.float64))
    step = size if shots is None else max(1, _HELD // shots)
    circuit = perfect_source(clients) if depolarizing else family("ghz_phase_sum", qubits=clients)
    found = []
    for start in range(0, size, step):
        values = expectations(
            circuit,
            angles[start : start + step],
            torch.zeros(0, dtype=torch.float64),
            executor,
            shots=shots,
            generator=generator,
            noise=Noise(depolarizing=depolarizing),
        )
        found.append(values.T.numpy())
    return np.concatenate(found, axis=1)

"""The states of BB84 as circuits: the judge of the pulse kernel on small cases."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray


def outcome_probabilities(
    executor: str = "aer:statevector", shots: int | None = None, seed: int = 0
) -> NDArray[np.float64]:
    """Returns P(Bob reads 1 | bit, Alice's basis, Bob's basis), shape (2, 2, 2); basis 1 is X.

    Args:
        executor: Who runs the circuits (see ``qfedfm.quantum.executors``).
        shots: Measurements of each circuit; null for exact values.
        seed: Of the shots.
    """
    import torch

    from qfedfm.circuits import family
    from qfedfm.quantum import expectations

    circuit = family("bb84_prepare_measure", qubits=1, layers=1)
    settings = torch.tensor(list(product((0.0, 1.0), repeat=3)))
    generator = torch.Generator().manual_seed(seed) if shots else None
    weights = torch.zeros(circuit.n_weights)
    found = expectations(circuit, settings, weights, executor, shots=shots, generator=generator)
    values: NDArray[np.float64] = (1 - found.detach().double().numpy().reshape(2, 2, 2)) / 2
    return values


def intercepted_error(probabilities: NDArray[np.float64], share: float = 1.0) -> float:
    """Returns the error rate of equal bases if Eve measures a share of the pulses in random bases."""
    wrong = []
    for bit, basis in product((0, 1), (0, 1)):
        honest = probabilities[bit, basis, basis]
        heard = np.mean(
            [
                sum(
                    (probabilities[bit, basis, eve] if seen else 1 - probabilities[bit, basis, eve])
                    * probabilities[seen, eve, basis]
                    for seen in (0, 1)
                )
                for eve in (0, 1)
            ]
        )
        one = (1 - share) * honest + share * heard
        wrong.append(1 - one if bit else one)
    return float(np.mean(wrong))

"""Entangling capability: the mean Meyer-Wallach entanglement over random weights.

Sim, Johnson, Aspuru-Guzik, 2019, arXiv:1905.10876; the measure is that of Meyer and Wallach, 2002,
quant-ph/0108104, in the form of Brennen, 2003, quant-ph/0305094: ``Q = 2 (1 - mean of Tr rho_k**2)`` over the
qubits k. It is 0 for product states, 1 if every qubit alone is fully mixed (GHZ states, for example) and
``(D - 2) / (D + 1)`` on average for Haar-random states of ``D = 2**n`` dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from qfedfm.circuits import Circuit
from qfedfm.core.errors import RequestError
from qfedfm.quantum.diagnostics.sampling import Inputs, chunks, draw_parameters
from qfedfm.quantum.running import states


@dataclass(frozen=True)
class EntanglingCapability:
    """How entangled the states of a circuit are.

    Attributes:
        mean: Mean of Q over random weights, from 0 to 1.
        standard_error: Of the mean.
        spread: Standard deviation of Q.
        samples: How many states.
        haar: The mean for Haar-random states.
    """

    mean: float
    standard_error: float
    spread: float
    samples: int
    haar: float


def entangling_capability(
    circuit: Circuit, *, samples: int = 1000, generator: torch.Generator, inputs: Inputs = "zero"
) -> EntanglingCapability:
    """Returns the entangling capability of a circuit over its weights.

    Args:
        circuit: What is looked at.
        samples: Random states.
        generator: Source of the weights.
        inputs: Inputs of the states: ``zero`` or ``random``.
    """
    x, w = draw_parameters(circuit, samples, generator, inputs)
    found = []
    with torch.no_grad():
        for part in chunks(circuit, samples):
            found.append(meyer_wallach(states(circuit, x[part], w[part]).squeeze(-2)))
    q = torch.cat(found)
    spread = float(q.std())
    return EntanglingCapability(
        mean=float(q.mean()),
        standard_error=spread / samples**0.5,
        spread=spread,
        samples=samples,
        haar=haar_entanglement(circuit.qubits),
    )


def meyer_wallach(state: Tensor) -> Tensor:
    """Returns Q of states, shape ``(...)`` for complex states ``(..., 2**n)`` of norm 1."""
    size = state.shape[-1]
    qubits = size.bit_length() - 1
    if size != 2**qubits or qubits < 1:
        raise RequestError(f"states must have 2, 4, 8, ... amplitudes, got {size}")
    purity = torch.zeros(state.shape[:-1], dtype=torch.float64, device=state.device)
    for qubit in range(qubits):
        split = state.reshape(*state.shape[:-1], 2**qubit, 2, -1)
        low, high = split[..., 0, :].flatten(-2), split[..., 1, :].flatten(-2)
        ones = high.abs().square().sum(-1)
        zeros = low.abs().square().sum(-1)
        across = (low.conj() * high).sum(-1).abs().square()
        purity = purity + zeros.square() + ones.square() + 2.0 * across
    return (2.0 * (1.0 - purity / qubits)).clamp(min=0.0)


def haar_entanglement(qubits: int) -> float:
    """Returns the mean of Q over Haar-random states."""
    size = 2.0**qubits
    return (size - 2.0) / (size + 1.0)

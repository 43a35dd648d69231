"""The circuit as a torch layer."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from qfedfm.circuits import Circuit
from qfedfm.core.errors import RequestError
from qfedfm.quantum.names import check_executor
from qfedfm.quantum.running import expectations


def initial_weights(
    circuit: Circuit, generator: torch.Generator | None = None, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Returns weights drawn uniformly from [-π, π), shape ``(n_weights,)``."""
    draw = torch.rand(circuit.n_weights, generator=generator, dtype=torch.float64)
    return ((draw * 2.0 - 1.0) * math.pi).to(dtype)


class QuantumLayer(nn.Module):
    """Maps inputs ``(..., n_inputs)`` to expectation values ``(..., n_observables)``.

    Args:
        circuit: What to run.
        executor: Where; see :func:`qfedfm.quantum.expectations`.
        weights: Initial weights, shape ``(n_weights,)``; drawn uniformly if not given.
        generator: Source of the drawn weights; torch's default generator if none is given.

    Attributes:
        weights: The trained parameter, shape ``(n_weights,)``.
    """

    def __init__(
        self,
        circuit: Circuit,
        executor: str = "statevector",
        *,
        weights: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.circuit = circuit
        self.executor = check_executor(executor)
        start = initial_weights(circuit, generator) if weights is None else weights.detach().clone()
        if tuple(start.shape) != (circuit.n_weights,):
            raise RequestError(
                f"circuit {circuit.name} has {circuit.n_weights} weights, got shape {tuple(start.shape)}"
            )
        self.weights = nn.Parameter(start)

    def forward(self, inputs: Tensor) -> Tensor:
        """Returns the expectation values, shape ``(..., n_observables)``."""
        leading = inputs.shape[:-1]
        flat = inputs.reshape(-1, inputs.shape[-1])
        out = expectations(self.circuit, flat, self.weights, self.executor, check_finite=False)
        return out.reshape(*leading, -1)

    def extra_repr(self) -> str:
        """Returns what is shown inside ``repr``."""
        return f"{self.circuit.name}, qubits={self.circuit.qubits}, executor={self.executor}"

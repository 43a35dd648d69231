"""Random parameters of a circuit, and how many samples go through it at once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from qfedfm.circuits import Circuit
from qfedfm.core.errors import RequestError

Inputs = Literal["zero", "random"]
_AMPLITUDES_AT_ONCE = 1 << 21


def draw_parameters(
    circuit: Circuit, samples: int, generator: torch.Generator, inputs: Inputs = "zero"
) -> tuple[Tensor, Tensor]:
    """Returns parameters of ``samples`` circuits, weights uniform in [-π, π), float64.

    A circuit without weights is looked at over its inputs: they are random, whatever ``inputs`` says.

    Args:
        circuit: What takes them.
        samples: How many, at least 2.
        generator: Source of the numbers.
        inputs: ``zero`` (the circuit as an ansatz; amplitudes are those of the state 0) or ``random``
            (uniform in [-π, π); amplitudes are normal).

    Returns:
        Inputs of shape ``(samples, 1, n_inputs)`` and weights of shape ``(samples, n_weights)``.

    Raises:
        RequestError: Fewer than 2 samples, another kind of inputs, or a circuit without parameters.
    """
    if samples < 2:
        raise RequestError(f"samples must be at least 2, got {samples}")
    if inputs not in ("zero", "random"):
        raise RequestError(f"inputs must be zero or random, got {inputs!r}")
    if not circuit.n_weights + circuit.n_inputs:
        raise RequestError(f"circuit {circuit.name} has neither weights nor inputs: it makes one state only")
    weights = _uniform((samples, circuit.n_weights), generator)
    if inputs == "random" or not circuit.n_weights:
        x = (
            torch.randn(samples, 1, circuit.n_inputs, generator=generator, dtype=torch.float64)
            if circuit.amplitudes
            else _uniform((samples, 1, circuit.n_inputs), generator)
        )
    else:
        x = torch.zeros(samples, 1, circuit.n_inputs, dtype=torch.float64)
        if circuit.amplitudes:
            x[..., 0] = 1.0
    return x, weights


def _uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return (torch.rand(shape, generator=generator, dtype=torch.float64) * 2.0 - 1.0) * math.pi


def chunks(circuit: Circuit, samples: int) -> Iterator[slice]:
    """Yields slices of samples that are computed together, so that memory stays bounded."""
    size = max(1, _AMPLITUDES_AT_ONCE >> circuit.qubits)
    for start in range(0, samples, size):
        yield slice(start, min(start + size, samples))

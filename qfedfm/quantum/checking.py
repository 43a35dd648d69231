"""What is refused about the arguments of a call, in a sentence."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qfedfm.circuits import Circuit
from qfedfm.core.errors import RequestError

_DTYPES = (torch.float32, torch.float64)


def check_shapes(circuit: Circuit, inputs: Tensor, weights: Tensor) -> tuple[int, ...]:
    """Returns the client axes.

    Raises:
        RequestError: Shapes, dtypes or devices are not what the circuit takes.
    """
    if inputs.dim() < 2 or inputs.shape[-1] != circuit.n_inputs:
        raise RequestError(
            f"circuit {circuit.name} takes inputs of shape (*clients, batch, {circuit.n_inputs}), "
            f"got {tuple(inputs.shape)}"
        )
    clients = tuple(inputs.shape[:-2])
    if weights.shape != (*clients, circuit.n_weights):
        raise RequestError(
            f"circuit {circuit.name} takes weights of shape {(*clients, circuit.n_weights)} "
            f"for these inputs, got {tuple(weights.shape)}"
        )
    if inputs.dtype not in _DTYPES or weights.dtype != inputs.dtype:
        raise RequestError(
            f"inputs and weights must both be float32 or both float64, got {inputs.dtype} and {weights.dtype}"
        )
    if inputs.device != weights.device:
        raise RequestError(f"inputs are on {inputs.device}, weights on {weights.device}")
    return clients


def check_numbers(circuit: Circuit, inputs: Tensor, weights: Tensor) -> None:
    """Raises a sentence if there is a NaN or an infinity among the angles."""
    check_arrays(circuit, inputs.detach().cpu().numpy(), weights.detach().cpu().numpy())


def check_arrays(circuit: Circuit, x: Any, w: Any) -> None:
    """:func:`check_numbers` for arrays."""
    with np.errstate(over="ignore", invalid="ignore"):
        for name, values in (("inputs", x), ("weights", w)):
            flat = values.reshape(-1)
            # One product is far cheaper than a test of every number; only if it overflows are they tested.
            if not math.isfinite(flat.dot(flat)) and not np.isfinite(flat).all():
                raise RequestError(f"the {name} of circuit {circuit.name} contain NaN or infinity")

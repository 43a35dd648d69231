"""Values and derivatives by our own executors, in float64: what other tools are compared with."""

from __future__ import annotations

import torch
from torch import Tensor

from qfedfm.circuits import Circuit
from qfedfm.quantum.gallery.entries import Point
from qfedfm.quantum.running import expectations


def values_and_jacobian(
    circuit: Circuit, point: Point, executor: str = "statevector"
) -> tuple[Tensor, Tensor]:
    """Returns the expectation values at a point and all their derivatives.

    Args:
        circuit: What is run; its inputs are angles.
        point: Where.
        executor: By what.

    Returns:
        Shape ``(o,)`` and ``(o, inputs + weights)``, float64.
    """
    count = circuit.n_observables
    # One client per observable: all rows of the Jacobian by one backward pass.
    x = torch.tensor(point.inputs, dtype=torch.float64).expand(count, 1, -1).clone().requires_grad_()
    w = torch.tensor(point.weights, dtype=torch.float64).expand(count, -1).clone().requires_grad_()
    out = expectations(circuit, x, w, executor)
    rows = [torch.zeros_like(x).squeeze(1), torch.zeros_like(w)]
    if out.requires_grad:
        found = torch.autograd.grad(out.squeeze(1).diagonal().sum(), (x, w), allow_unused=True)
        rows = [
            zero if gradient is None else gradient.reshape(zero.shape)
            for zero, gradient in zip(rows, found, strict=True)
        ]
    return out[0, 0].detach(), torch.cat(rows, -1)


def values(circuit: Circuit, point: Point, executor: str = "torch") -> list[float]:
    """Returns the expectation values at a point, float64; what is 0 up to rounding is 0."""
    x = torch.tensor([point.inputs], dtype=torch.float64)
    w = torch.tensor(point.weights, dtype=torch.float64)
    out: list[float] = expectations(circuit, x, w, executor)[0].tolist()
    return [value if abs(value) > 1e-15 else 0.0 for value in out]

"""Rotosolve: one weight after another goes to its minimum. Ostaszewski et al., 2021, arXiv:1905.09692.

An expectation value is a trigonometric polynomial of degree R of each weight (R = 1 for a single rotation),
so 2R + 1 circuits give all of it. Here the expectation values are reconstructed, sample by sample, rather
than the loss: the loss may be any function of them (a cross-entropy behind a linear layer), and its minimum
along the weight is found without further circuits. Where the loss is linear in them it is the paper's
closed form.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from qfedfm.optim.circuits.base import CircuitOptimizer
from qfedfm.optim.circuits.frequencies import frequencies

if TYPE_CHECKING:
    from qfedfm.optim.circuits.landscape import Landscape

_GRID = 16
_NEWTON = 4


class Rotosolve(CircuitOptimizer):
    """A step is one sweep over all weights; gradients are not used.

    Args:
        params: One leaf, (K, w) or (w,).
        lr: The part of the way to each minimum that is gone, at most 1.
        shots: Measurements per expectation value; None for exact values.
    """

    def __init__(self, params: Iterable[Tensor], lr: float = 1.0, shots: int | None = None) -> None:
        super().__init__(params, lr, 0.0, shots=shots)
        self._target: Tensor | None = None

    def observe(self, landscape: Landscape) -> None:
        """Sweeps over the weights; where to go is kept for ``step``."""
        target = landscape.weights.clone()
        circuit = landscape.view.circuit
        for column, weight in enumerate(landscape.view.trained):
            degree, unit = frequencies(circuit, weight)
            if degree == 0:
                continue
            nodes = torch.arange(2 * degree + 1, dtype=torch.float64) * (2 * math.pi / (2 * degree + 1))
            points = target.repeat(len(nodes), 1, 1)
            points[..., column] += (nodes / unit).to(points).unsqueeze(1)
            outputs = landscape.outputs(points, self.option("shots"))
            way = _minimum(landscape, _coefficients(outputs.double(), degree)) / unit
            target[:, column] += float(self.option("lr")) * way.to(target)
        self._target = target

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Goes where the sweep led."""
        if self._target is None:
            raise RuntimeError("observe(landscape) comes before step()")
        leaf, self._target = self._target, None
        self.weights.copy_(leaf.reshape(self.weights.shape))


def _coefficients(outputs_PKBo: Tensor, degree: int) -> Tensor:
    """Returns the real Fourier coefficients of values at 2R + 1 equidistant nodes, (2R + 1, K, B, o)."""
    count = len(outputs_PKBo)
    angles = torch.arange(count, dtype=torch.float64) * (2 * math.pi / count)
    return torch.einsum("pj,pkbo->jkbo", _basis(angles, degree) * 2 / count, outputs_PKBo) * _halves(degree)


def _halves(degree: int) -> Tensor:
    scale = torch.ones(2 * degree + 1, dtype=torch.float64)
    scale[0] = 0.5
    return scale[:, None, None, None]


def _basis(angles: Tensor, degree: int) -> Tensor:
    """Returns 1, cos kx, sin kx for k = 1..R of angles (...), shape (..., 2R + 1)."""
    steps = torch.arange(1, degree + 1, dtype=torch.float64)
    turned = angles.unsqueeze(-1) * steps
    return torch.cat([torch.ones_like(angles).unsqueeze(-1), turned.cos(), turned.sin()], dim=-1)


def _minimum(landscape: Landscape, coefficients: Tensor) -> Tensor:
    """Returns how far each client's minimum lies from the present weight, times ω, (K,)."""
    degree = (len(coefficients) - 1) // 2

    def losses(angles_PK: Tensor) -> Tensor:
        values = torch.einsum("pkj,jkbo->pkbo", _basis(angles_PK, degree), coefficients)
        return landscape.losses_of(values)

    clients = coefficients.shape[1]
    spacing = 2 * math.pi / (_GRID * degree * 2)
    grid = torch.arange(_GRID * degree * 2, dtype=torch.float64) * spacing
    best = grid[losses(grid.unsqueeze(1).expand(-1, clients)).argmin(0)]
    for _ in range(_NEWTON):
        with torch.enable_grad():
            point = best.detach().requires_grad_()
            value = losses(point.unsqueeze(0))[0]
            (slope,) = torch.autograd.grad(value.sum(), point, create_graph=True)
            (bend,) = torch.autograd.grad(slope.sum(), point)
        step = (-slope.detach() / bend).clamp(-spacing, spacing)
        moved = torch.where(bend > 0, best + step, best)
        better = losses(moved.unsqueeze(0))[0] <= losses(best.unsqueeze(0))[0] + 1e-12
        best = torch.where(better, moved, best)
    # The short way round.
    return torch.remainder(best + math.pi, 2 * math.pi) - math.pi

"""Angles and fused single-qubit gates in torch, all gates of a circuit at once.

A rotation up to a phase is a unit quaternion ``(w, x, y, z)``: the matrix
``w - i (x X + y Y + z Z)``. A chain of rotations is the product of its quaternions, so everything up
to the final 2x2 is real arithmetic on arrays that hold every gate of the circuit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from qfedfm.circuits import Angle, Symbol
from qfedfm.quantum.lowering import Element

_AXIS = {"X": 1, "Y": 2, "Z": 3}


def _product_table() -> Tensor:
    """The quaternion product as a matrix of shape (16, 4): ``outer(a, b).flatten() @ table``."""
    table = torch.zeros(4, 4, 4, dtype=torch.float64)
    for k in range(4):
        table[0, k, k] = table[k, 0, k] = 1.0
    for k in (1, 2, 3):
        table[k, k, 0] = -1.0
    for a, b, c in ((1, 2, 3), (2, 3, 1), (3, 1, 2)):
        table[a, b, c], table[b, a, c] = 1.0, -1.0
    return table.reshape(16, 4)


def _matrix_table() -> Tensor:
    """From a quaternion to (row, column, re/im), shape (4, 8)."""
    table = torch.zeros(4, 2, 2, 2, dtype=torch.float64)
    table[0, 0, 0, 0] = table[0, 1, 1, 0] = 1.0  # w
    table[1, 0, 1, 1] = table[1, 1, 0, 1] = -1.0  # -i x X
    table[2, 0, 1, 0], table[2, 1, 0, 0] = -1.0, 1.0  # -i y Y
    table[3, 0, 0, 1], table[3, 1, 1, 1] = -1.0, 1.0  # -i z Z
    return table.reshape(4, 8)


class Tables:
    """The constant tables in one dtype on one device."""

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        self.product = _product_table().to(device, dtype)
        self.matrix = _matrix_table().to(device, dtype)
        self.column = _matrix_table().reshape(4, 2, 2, 2)[:, :, 0].reshape(4, 4).to(device, dtype)

    def multiply(self, a: Tensor, b: Tensor) -> Tensor:
        """Returns the quaternion of "b, then a", shape ``(..., 4)``."""
        return (a.unsqueeze(-1) * b.unsqueeze(-2)).flatten(-2) @ self.product

    def matrices(self, q: Tensor) -> Tensor:
        """Returns complex 2x2 matrices, shape ``(..., 2, 2)``."""
        return torch.view_as_complex((q @ self.matrix).view(*q.shape[:-1], 2, 2, 2))

    def columns(self, q: Tensor) -> Tensor:
        """Returns what the gates make of the state 0: complex, shape ``(..., 2)``."""
        return torch.view_as_complex((q @ self.column).view(*q.shape[:-1], 2, 2))


class AngleTable:
    """Rows of angles as one matrix product over the symbols and the products of symbols they use.

    Args:
        angles: The rows.
        n_inputs: How many inputs a sample has; 0 if no angle contains one.
        n_weights: How many weights there are.
        scale: Every angle is multiplied by this.
    """

    def __init__(
        self,
        angles: Sequence[Angle],
        n_inputs: int,
        n_weights: int,
        dtype: torch.dtype,
        device: torch.device,
        scale: float = 1.0,
    ) -> None:
        products = sorted({t.symbols for a in angles for t in a.terms if len(t.symbols) > 1})
        place: dict[tuple[Symbol, ...], int] = {(Symbol("x", i),): i for i in range(n_inputs)}
        uses_weights = n_inputs == 0 or any(a.weights for a in angles)
        self.uses_weights = uses_weights
        if uses_weights:
            place |= {(Symbol("w", j),): n_inputs + j for j in range(n_weights)}
        base = len(place)
        place |= {symbols: base + k for k, symbols in enumerate(products)}
        matrix = np.zeros((len(place), len(angles)))
        for row, angle in enumerate(angles):
            for coefficient, symbols in angle.terms:
                matrix[place[symbols], row] += coefficient * scale
        self.factors = [torch.tensor([place[(s,)] for s in symbols], device=device) for symbols in products]
        self.matrix = torch.tensor(matrix, dtype=dtype, device=device)
        self.offset = torch.tensor([a.offset * scale for a in angles], dtype=dtype, device=device)

    def __call__(self, inputs: Tensor | None, weights: Tensor) -> Tensor:
        """Returns the rows: ``(K, rows)`` without inputs, ``(K, B, rows)`` with ``inputs (K, B, n)``."""
        symbols = weights
        if inputs is not None:
            symbols = inputs
            if self.uses_weights:
                spread = weights.unsqueeze(1).expand(-1, inputs.shape[1], -1)
                symbols = torch.cat([inputs, spread], dim=-1)
        if self.factors:
            products = [symbols.index_select(-1, factor).prod(-1) for factor in self.factors]
            symbols = torch.cat([symbols, torch.stack(products, dim=-1)], dim=-1)
        return symbols @ self.matrix + self.offset


class SegmentTable:
    """Quaternions of many runs of rotations at once: ``segments`` are lists of elements, maybe empty."""

    def __init__(
        self,
        segments: Sequence[Sequence[Element]],
        n_inputs: int,
        n_weights: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        length = max(1, max(len(segment) for segment in segments))
        none = Element("Z", Angle())
        padded = [[*segment, *[none] * (length - len(segment))] for segment in segments]
        angles = [element.angle for segment in padded for element in segment]
        self.angles = AngleTable(angles, n_inputs, n_weights, dtype, device, scale=0.5)
        self.shape = (len(segments), length)
        axes = torch.zeros(len(segments), length, 4, dtype=dtype)
        for s, segment in enumerate(padded):
            for k, element in enumerate(segment):
                axes[s, k, _AXIS[element.letter]] = 1.0
        self.axes = axes.to(device)
        self.one = torch.tensor([1.0, 0, 0, 0], dtype=dtype, device=device)

    def __call__(self, inputs: Tensor | None, weights: Tensor, tables: Tables) -> Tensor:
        """Returns ``(K, segments, 4)``, or ``(K, B, segments, 4)`` with inputs."""
        rows = self.angles(inputs, weights)
        half = rows.view(*rows.shape[:-1], *self.shape, 1)
        q = torch.addcmul(half.sin() * self.axes, half.cos(), self.one)
        result = q[..., 0, :]
        for k in range(1, self.shape[1]):
            result = tables.multiply(q[..., k, :], result)
        return result

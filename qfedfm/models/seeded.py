"""A model whose trained vector is a combination of a fixed pool of directions.

Shapes: S = directions of the pool, d = trained numbers of the model inside, K = clients, B = batch,
C = classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from qfedfm.core.changes import Changes
from qfedfm.core.seed_update import seed_layout
from qfedfm.core.seeds import SeedPool

if TYPE_CHECKING:
    from qfedfm.circuits import Circuit
    from qfedfm.models.adapted import AdaptedModel
    from qfedfm.models.frozen import FrozenModel
    from qfedfm.optim.circuits.landscape import CircuitView


class SeededModel:
    """What travels and is averaged are the coefficients a (S,), float64; what computes is w_0 + Σ a_j z(s_j).

    Args:
        inner: The model whose numbers these are.
        pool: The directions.
        unit: What coefficients are multiples of.
    """

    def __init__(self, inner: FrozenModel | AdaptedModel, pool: SeedPool, unit: float) -> None:
        self.inner, self.pool = inner, pool
        self.layout = seed_layout(pool.count, unit)
        self.client_axis = inner.client_axis
        self.precision, self.device, self.backbone_hash = inner.precision, inner.device, inner.backbone_hash
        self._start = inner.initial().cpu().numpy()
        self._last: tuple[bytes, Tensor] | None = None

    @property
    def size(self) -> int:
        """How many numbers the model inside has, d."""
        return self.inner.layout.size

    @property
    def trainable_parameters(self) -> int:
        """How many numbers move, d."""
        return self.inner.trainable_parameters

    @property
    def quantum_parameters(self) -> int:
        """How many of them are circuit weights."""
        return self.inner.quantum_parameters

    @property
    def circuit(self) -> Circuit | None:
        """The circuit in the head, if there is one."""
        return self.inner.circuit

    @property
    def lengths(self) -> np.ndarray | None:
        """Tokens per sample, (N,), where batches of like length are faster."""
        return self.inner.lengths

    def initial(self) -> Tensor:
        """Returns a = 0, (S,) float64."""
        return torch.zeros(self.pool.count, dtype=torch.float64, device=self.device)

    def expand(self, coefficients: Tensor) -> Tensor:
        """Returns the numbers of the model inside, (d,) float64, from coefficients (S,)."""
        a = coefficients.detach().cpu().double().numpy()
        if self._last is None or self._last[0] != a.tobytes():
            counts = np.rint(a / self.layout.unit).astype(np.int64)
            exact = torch.from_numpy(self.pool.rebuild(self._start, counts, self.layout.unit)).to(self.device)
            self._last = a.tobytes(), exact
        return self._last[1].clone()

    def directions(self, numbers: Sequence[int]) -> Tensor:
        """Returns directions of the pool, ±1, (len(numbers), d) float32."""
        return torch.from_numpy(self.pool.directions(numbers, self.size)).to(self.device).float()

    def leaves(self, vectors: Tensor) -> dict[str, Tensor]:
        """Returns the tensors of the model inside, from coefficients (K, S)."""
        return self.inner.leaves(torch.stack([self.expand(row).float() for row in vectors]))

    def gather(self, leaves: Mapping[str, Tensor]) -> Tensor:
        """Has no answer: not every vector is a combination of the directions."""
        raise ValueError("the leaves of a seeded model have no coefficients")

    def logits(self, leaves: Mapping[str, Tensor], index: Tensor) -> Tensor:
        """Returns (K, B, C) logits of the samples ``index`` (K, B)."""
        return self.inner.logits(leaves, index)

    def logits_at(self, vectors: Tensor, index: Tensor) -> Tensor:
        """Returns (K, B, C) logits under numbers (K, d), float32, of samples (K, B), without gradient."""
        with torch.no_grad():
            if self.client_axis:
                return self.inner.logits(self.inner.layout.view(vectors), index)
            view = self.inner.layout.view
            rows = [self.inner.logits(view(v), i.unsqueeze(0)) for v, i in zip(vectors, index, strict=True)]
            return torch.cat(rows)

    @contextmanager
    def sampling(self, shots: int | None, generator: torch.Generator | None) -> Iterator[None]:
        """Measures the circuit in the head with ``shots`` inside; None for exact values."""
        with self.inner.sampling(shots, generator):
            yield

    def circuit_view(self, leaves: Mapping[str, Tensor], index: Tensor) -> CircuitView:
        """Returns the head's circuit on the samples ``index`` (K, B)."""
        return self.inner.circuit_view(leaves, index)

    def reseed(self, generator: torch.Generator) -> None:
        """Gives dropout in the adapters its generator; nothing is dropped without gradients."""
        self.inner.reseed(generator)

    def fold(self, changes: Changes) -> None:
        """Makes ``changes`` all that frozen weights differ by."""
        self.inner.fold(changes)

    def predict_inputs(
        self, vector: Tensor, inputs: Sequence[str] | np.ndarray, batch_size: int = 128
    ) -> Tensor:
        """Returns (N, C) logits of new inputs under coefficients (S,)."""
        return self.inner.predict_inputs(self.expand(vector).float(), inputs, batch_size)

    def save(self, vector: Tensor, folder: Path) -> None:
        """Writes the model inside, which loads as any other."""
        self.inner.save(self.expand(vector).float(), folder)

"""What a model is to the rest of the package: what is trained and travels, and what it predicts.

Shapes: K = clients, d = trained numbers, B = batch, C = classes, N = samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from qfedfm.core.changes import Changes
from qfedfm.core.tensors import Layout

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from qfedfm.circuits import Circuit
    from qfedfm.optim.circuits.landscape import CircuitView

ADAPTER, HEAD = "adapter/", "head/"


class Model(Protocol):
    """A frozen backbone with trained adapters and a trained head."""

    @property
    def layout(self) -> Layout:
        """Names and shapes of what is trained, ``adapter/...`` first, then ``head/...``."""

    @property
    def client_axis(self) -> bool:
        """Whether K clients train in one call (head only); otherwise K is 1."""

    @property
    def backbone_hash(self) -> str:
        """Identifies the frozen weights; empty where there is no backbone."""

    @property
    def precision(self) -> str:
        """``float32`` or ``bfloat16``, of the frozen weights."""

    @property
    def device(self) -> str:
        """Where tensors lie."""

    @property
    def trainable_parameters(self) -> int:
        """How many numbers are trained."""

    @property
    def quantum_parameters(self) -> int:
        """How many of them are circuit weights."""

    @property
    def circuit(self) -> Circuit | None:
        """The circuit in the head, if there is one."""

    @property
    def lengths(self) -> np.ndarray | None:
        """Tokens per sample, shape (N,), or None where batches of like length are no faster."""

    def initial(self) -> Tensor:
        """Returns the vector before training, (d,) float32, drawn from the model's streams."""

    def leaves(self, vectors: Tensor) -> dict[str, Tensor]:
        """Returns tensors that require gradients from vectors (K, d).

        Their shapes are (K, *shape) with a client axis, and (*shape) where K must be 1.
        """

    def gather(self, leaves: Mapping[str, Tensor]) -> Tensor:
        """Returns a detached copy of the leaves as vectors, (K, d)."""

    def logits(self, leaves: Mapping[str, Tensor], index: Tensor) -> Tensor:
        """Returns (K, B, C) float32 logits of the samples ``index``, (K, B) int64."""

    def circuit_view(self, leaves: Mapping[str, Tensor], index: Tensor) -> CircuitView:
        """Returns the head's circuit on the samples ``index`` (K, B), for optimizers of its weights."""

    def reseed(self, generator: torch.Generator) -> None:
        """Gives dropout in the adapters its generator; it drops while gradients are recorded."""

    def fold(self, changes: Changes) -> None:
        """Makes ``changes`` all that frozen weights differ by from the files; saved with the model."""

    def predict_inputs(
        self, vector: Tensor, inputs: Sequence[str] | np.ndarray, batch_size: int = 128
    ) -> Tensor:
        """Returns (N, C) logits of new texts, images or features under a vector (d,)."""

    def save(self, vector: Tensor, folder: Path) -> None:
        """Writes ``adapter/``, ``head.safetensors`` and ``model.json`` for a vector (d,)."""

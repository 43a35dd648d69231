"""A model whose backbone is frozen: features are computed once, and K heads train in one call.

Shapes: K = clients, d = trained numbers, B = batch, D = features, C = classes, N = samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from qfedfm.core.errors import RequestError
from qfedfm.core.random import Streams
from qfedfm.core.tensors import Layout
from qfedfm.models.backbones.source import Source
from qfedfm.models.backbones.stored import encode
from qfedfm.models.backbones.transformer import Transformer
from qfedfm.models.description import Description
from qfedfm.models.heads import Head
from qfedfm.models.model import HEAD
from qfedfm.models.parts import Parts

_ON_DEVICE = 4 << 30


class FrozenModel(Parts):
    """A head on stored features.

    Args:
        description: What goes into ``model.json``.
        head: What is trained.
        features: (N, D) float32 of the samples of the data, perhaps memory-mapped; None to predict only.
        open_backbone: Loads the backbone when new inputs are to be predicted; None where inputs are features.
        device: Where tensors lie.
        streams: Where random starts are drawn from.
        source: The backbone's files, if there is one.
    """

    lengths: np.ndarray | None = None

    def __init__(
        self,
        description: Description,
        head: Head,
        features: np.ndarray | None,
        open_backbone: Callable[[], Transformer] | None,
        *,
        device: str,
        streams: Streams,
        source: Source | None,
    ) -> None:
        super().__init__(description, head, Layout(()), device=device, streams=streams, source=source)
        self._open, self._backbone = open_backbone, None if open_backbone is None else _Lazy(open_backbone)
        self._features, self._mapped = None, None
        if isinstance(features, np.memmap) and (device == "cpu" or features.nbytes > _ON_DEVICE):
            self._mapped = features
        elif features is not None:
            self._features = torch.from_numpy(np.array(features, dtype=np.float32)).to(device)

    def features(self, index: Tensor) -> Tensor:
        """Returns (*K, B, D) features of the samples ``index`` (*K, B)."""
        if self._features is not None:
            return self._features[index.to(self.device)]
        if self._mapped is None:
            raise ValueError("this model was loaded to predict and holds no data: use predict_inputs")
        rows = np.asarray(self._mapped[index.cpu().numpy()], dtype=np.float32)
        return torch.from_numpy(rows).to(self.device)

    def features_of(self, leaves: Mapping[str, Tensor], index: Tensor) -> Tensor:
        """Returns features (K, B, D) of the samples ``index`` (K, B)."""
        return self.features(index)

    def logits(self, leaves: Mapping[str, Tensor], index: Tensor) -> Tensor:
        """Returns (K, B, C) logits of the samples ``index`` (K, B)."""
        return self.head.logits(self.split(leaves, HEAD), self.features(index))

    def predict_inputs(
        self, vector: Tensor, inputs: Sequence[str] | np.ndarray, batch_size: int = 128
    ) -> Tensor:
        """Returns (N, C) logits of new inputs under a vector (d,)."""
        params = self.split(self.layout.view(vector.detach().to(self.device)), HEAD)
        out = np.zeros((len(inputs), len(self.description.label_names)), np.float32)
        if not len(inputs):
            return torch.from_numpy(out)
        if self._backbone is not None:
            encode(
                self._backbone(),
                inputs,
                self.description.max_length,
                out,
                head=lambda x: self.head.logits(params, x),
            )
            return torch.from_numpy(out)
        rows = np.asarray(inputs, dtype=np.float32)
        if rows.shape[1:] != tuple(self.description.shape):
            raise RequestError(
                f"each input has {rows.shape[1:]} features; the model takes {self.description.shape}"
            )
        with torch.no_grad():
            for first in range(0, len(rows), batch_size):
                x = torch.from_numpy(rows[first : first + batch_size]).to(self.device)
                out[first : first + batch_size] = self.head.logits(params, x).cpu().numpy()
        return torch.from_numpy(out)

    def new_features(self, vector: Tensor, inputs: Sequence[str] | np.ndarray) -> Tensor:
        """Returns (N, D) pooled features of new inputs, as the head takes them."""
        if self._backbone is None:
            return torch.from_numpy(np.asarray(inputs, dtype=np.float32))
        backbone = self._backbone()
        out = np.zeros((len(inputs), backbone.hidden_size), np.float32)
        encode(backbone, inputs, self.description.max_length, out)
        return torch.from_numpy(out)

    def save(self, vector: Tensor, folder: Path) -> None:
        """Writes ``head.safetensors`` and ``model.json`` for a vector (d,)."""
        self.save_head(vector, folder)

    def load(self, folder: Path) -> Tensor:
        """Returns the vector (d,) that :meth:`save` wrote."""
        return self.layout.flatten(self.load_head(folder)).to(self.device)


class _Lazy:
    """Opens the backbone once, when it is first needed."""

    def __init__(self, open_backbone: Callable[[], Transformer]) -> None:
        self._open = open_backbone
        self._backbone: Transformer | None = None

    def __call__(self) -> Transformer:
        if self._backbone is None:
            self._backbone = self._open()
        return self._backbone

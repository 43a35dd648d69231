"""A model with adapters in its backbone, trained from the stored part below the first of them.

Shapes: d = trained numbers, B = batch, L = tokens of the longest sample in it, D = hidden size,
C = classes, N = samples.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from qfedfm.core.changes import Changes
from qfedfm.core.errors import RequestError
from qfedfm.core.random import Streams
from qfedfm.models.adapters.insert import InsertedAdapter
from qfedfm.models.backbones.source import Source
from qfedfm.models.backbones.stored import Inputs, Progress, StoredPrefix, cache_path, encode
from qfedfm.models.backbones.transformer import Transformer
from qfedfm.models.description import Description
from qfedfm.models.heads import Head
from qfedfm.models.model import ADAPTER, HEAD
from qfedfm.models.parts import ADAPTER_FOLDER, Parts

_LOGGER = logging.getLogger(__name__)
_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 3e-2}
_PROBED = 4


class AdaptedModel(Parts):
    """Adapters and a head; one client at a time.

    Args:
        description: What goes into ``model.json``.
        backbone: The frozen transformer that the adapter was put into.
        adapter: The adapter.
        head: The head.
        streams: Where random starts are drawn from.
        source: The backbone's files.
    """

    client_axis = False

    def __init__(
        self,
        description: Description,
        backbone: Transformer,
        adapter: InsertedAdapter,
        head: Head,
        *,
        streams: Streams,
        source: Source,
    ) -> None:
        super().__init__(
            description, head, adapter.layout, device=backbone.device, streams=streams, source=source
        )
        self.backbone, self.adapter = backbone, adapter
        self._stored: StoredPrefix | None = None

    @property
    def lengths(self) -> np.ndarray | None:
        """Tokens per sample, (N,); None for images, which are all alike."""
        if self._stored is None or self.description.modality == "image":
            return None
        return self._stored.lengths

    def store(self, inputs: Inputs, progress: Progress | None = None) -> None:
        """Runs the part below the adapters on the data once, or finds it done.

        If the architecture does not go on from stored states to the same features, the whole backbone
        runs in every step instead, with a warning.
        """
        layer = self.adapter.first_layer
        if layer:
            self.backbone.split(layer)
            if not self._goes_on(inputs):
                _LOGGER.warning(
                    "the layers of %s cannot be run from stored hidden states: "
                    "every step runs the whole backbone",
                    self.backbone.source.name,
                )
                layer = 0
        path = cache_path(
            self.backbone.source,
            inputs,
            f"layer {layer}",
            max_length=self.description.max_length,
            precision=self.precision,
            device=self.device,
        )
        self._stored = StoredPrefix(
            path,
            self.backbone,
            inputs,
            layer=layer,
            max_length=self.description.max_length,
            progress=progress,
        )

    def _goes_on(self, inputs: Inputs) -> bool:
        """Returns whether stored states lead to the features of a whole run, with adapters moved."""
        arguments, lengths = StoredPrefix.probe(self.backbone, inputs[:_PROBED], self.description.max_length)
        generator = self._streams.torch("probe")
        tensors = {
            name: (tensor + 0.05 * torch.randn(tensor.shape, generator=generator)).to(self.device)
            for name, tensor in self.adapter.initial().items()
        }
        try:
            with torch.no_grad(), self.adapter.using(tensors):
                whole = self.backbone.pool(self.backbone.hidden(arguments), lengths)
                start = self.backbone.prefix(arguments)
                resumed = self.backbone.pool(self.backbone.hidden(arguments, start), lengths)
        except (RequestError, RuntimeError, KeyError, TypeError, IndexError):
            return False
        return bool((whole - resumed).abs().max() <= _TOLERANCE[self.backbone.dtype])

    def initial_adapter(self) -> dict[str, Tensor]:
        """Returns the adapter's tensors before training."""
        return self.adapter.initial()

    def logits(self, leaves: Mapping[str, Tensor], index: Tensor) -> Tensor:
        """Returns (1, B, C) logits of the samples ``index`` (1, B)."""
        features = self.features_of(leaves, index)[0]
        return self.head.logits(self.split(leaves, HEAD), features).unsqueeze(0)

    def features_of(self, leaves: Mapping[str, Tensor], index: Tensor) -> Tensor:
        """Returns features (1, B, D) of the samples ``index`` (1, B) under the adapters of ``leaves``."""
        if self._stored is None:
            raise ValueError("this model was loaded to predict and holds no data: use predict_inputs")
        arguments, lengths, start = self._stored.batch(index[0])
        with self.adapter.using(self.split(leaves, ADAPTER)):
            hidden = self.backbone.hidden(arguments, start)
        return self.backbone.pool(hidden, lengths).unsqueeze(0)

    def fold(self, changes: Changes) -> None:
        """Makes ``changes`` all that the frozen weights differ by from those of the files."""
        self.adapter.folded.fold(changes)

    def reseed(self, generator: torch.Generator) -> None:
        """Gives dropout in the adapters its generator; it drops while gradients are recorded."""
        self.adapter.reseed(generator)

    def predict_inputs(
        self, vector: Tensor, inputs: Sequence[str] | np.ndarray, batch_size: int = 128
    ) -> Tensor:
        """Returns (N, C) logits of new inputs under a vector (d,)."""
        named = self.layout.view(vector.detach().to(self.device))
        params = self.split(named, HEAD)
        out = np.zeros((len(inputs), len(self.description.label_names)), np.float32)
        if len(inputs):
            with self.adapter.using(self.split(named, ADAPTER)):
                encode(
                    self.backbone,
                    inputs,
                    self.description.max_length,
                    out,
                    head=lambda x: self.head.logits(params, x),
                )
        return torch.from_numpy(out)

    def new_features(self, vector: Tensor, inputs: Sequence[str] | np.ndarray) -> Tensor:
        """Returns (N, D) pooled features of new inputs under a vector (d,), as the head takes them."""
        named = self.layout.view(vector.detach().to(self.device))
        out = np.zeros((len(inputs), self.backbone.hidden_size), np.float32)
        with self.adapter.using(self.split(named, ADAPTER)):
            encode(self.backbone, inputs, self.description.max_length, out)
        return torch.from_numpy(out)

    def save(self, vector: Tensor, folder: Path) -> None:
        """Writes ``adapter/``, ``head.safetensors`` and ``model.json`` for a vector (d,)."""
        named = self.layout.view(vector.detach().float().cpu())
        self.adapter.save(self.split(named, ADAPTER), folder / ADAPTER_FOLDER)
        self.save_head(vector, folder)

    def load(self, folder: Path) -> Tensor:
        """Returns the vector (d,) that :meth:`save` wrote."""
        stored = {ADAPTER + name: t for name, t in self.adapter.load(folder / ADAPTER_FOLDER).items()}
        return self.layout.flatten(stored | self.load_head(folder)).to(self.device)

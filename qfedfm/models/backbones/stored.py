"""What a backbone computed once: pooled features, or the hidden states below the first adapted layer.

Shapes: N = samples, T = tokens of all samples together, B = batch, L = longest sample of the batch,
D = hidden size. Hidden states are stored without padding.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from qfedfm.core.files import cache_folder
from qfedfm.models.backbones.packed import Shapes, cached_arrays
from qfedfm.models.backbones.source import Source
from qfedfm.models.backbones.texts import by_length, fingerprint, pack, pad, pixels, tokenise
from qfedfm.models.backbones.transformer import Transformer

Progress = Callable[[int, int], None]
Inputs = Sequence[str] | np.ndarray
_VERSION = 1
_ON_DEVICE = 4 << 30
_IN_MEMORY = 512 << 20


def cache_path(
    source: Source, inputs: Inputs, what: str, *, max_length: int, precision: str, device: str
) -> Path:
    """Returns where the computed arrays lie: a name made of everything they depend on."""
    kind = device.split(":")[0]
    key = [_VERSION, source.hash, fingerprint(inputs), what, max_length, precision, kind]
    name = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:40]
    return cache_folder("prefix") / f"{name}.arrays"


def pooled_features(
    path: Path,
    open_backbone: Callable[[], Transformer],
    inputs: Inputs,
    max_length: int,
    progress: Progress | None,
) -> np.ndarray:
    """Returns (N, D) float32 pooled features, computed if they are not at ``path``."""

    def make() -> tuple[Shapes, Callable[[dict[str, np.ndarray]], None]]:
        backbone = open_backbone()

        def fill(arrays: dict[str, np.ndarray]) -> None:
            encode(backbone, inputs, max_length, arrays["features"], progress)

        return {"features": ("<f4", (len(inputs), backbone.hidden_size))}, fill

    features = cached_arrays(path, make)["features"]
    return np.array(features) if features.nbytes <= _IN_MEMORY else features


def encode(
    backbone: Transformer,
    inputs: Inputs,
    max_length: int,
    out: np.ndarray,
    progress: Progress | None = None,
    head: Callable[[Tensor], Tensor] | None = None,
) -> None:
    """Fills ``out`` (N, D or C) with pooled features, or with what ``head`` makes of them.

    Args:
        backbone: What is run, whole.
        inputs: Texts or images.
        max_length: Where texts are cut, tokens.
        out: Float32, written in place.
        progress: Called with samples done and their number.
        head: Applied to features (B, D).
    """
    total, done = len(inputs), 0
    if isinstance(inputs, np.ndarray):
        ids: list[list[int]] = []
        lengths = np.full(total, image_tokens(backbone), np.int64)
    else:
        ids = tokenise(backbone.source, inputs, max_length)
        lengths = np.array([len(row) for row in ids], np.int64)
    for rows in by_length(lengths):
        with torch.no_grad():
            if isinstance(inputs, np.ndarray):
                arguments = {"pixel_values": pixels(inputs[rows], backbone.device).to(backbone.dtype)}
                sizes = [int(lengths[0])] * len(rows)
            else:
                padded, sizes = pad([ids[i] for i in rows], backbone.pad, backbone.device)
                arguments = backbone.inputs(padded, sizes)
            features = backbone.pool(backbone.hidden(arguments), sizes)
            out[rows] = (features if head is None else head(features)).float().cpu().numpy()
        done += len(rows)
        if progress is not None:
            progress(done, total)


def image_tokens(backbone: Transformer) -> int:
    """Returns how many tokens a vision transformer makes of an image, its class token included."""
    config = backbone.module.config
    return int((config.image_size // config.patch_size) ** 2 + 1)


class StoredPrefix:
    """Batches for the layers above the split, from a memory-mapped file.

    Args:
        path: Where the file lies or will lie.
        backbone: What computes it, split at ``layer`` if that is above 0.
        inputs: Texts or images.
        layer: The first layer that is trained; 0 stores token ids only.
        max_length: Where texts are cut, tokens.
        progress: Called with samples done and their number.
    """

    def __init__(
        self,
        path: Path,
        backbone: Transformer,
        inputs: Inputs,
        *,
        layer: int,
        max_length: int,
        progress: Progress | None = None,
    ) -> None:
        self._backbone, self._layer = backbone, layer
        self._images = inputs if isinstance(inputs, np.ndarray) else None
        arrays = cached_arrays(path, lambda: self._make(inputs, max_length, progress))
        self.lengths = np.diff(arrays["offsets"])
        size = sum(array.nbytes for array in arrays.values())
        self.device = backbone.device if size <= _ON_DEVICE else "cpu"
        self._offsets = torch.from_numpy(np.array(arrays["offsets"])).to(self.device)
        self._tokens = torch.from_numpy(np.array(arrays["tokens"])).to(self.device)
        self._states: Tensor | None = None
        if layer:
            self._states = torch.from_numpy(arrays["states"]).view(backbone.dtype).to(self.device)

    @staticmethod
    def probe(backbone: Transformer, inputs: Inputs, max_length: int) -> tuple[dict[str, Tensor], list[int]]:
        """Returns the model's arguments and the lengths of a few inputs, as :meth:`batch` would."""
        if isinstance(inputs, np.ndarray):
            images = pixels(inputs, backbone.device).to(backbone.dtype)
            return {"pixel_values": images}, [image_tokens(backbone)] * len(inputs)
        padded, lengths = pad(tokenise(backbone.source, inputs, max_length), backbone.pad, backbone.device)
        return backbone.inputs(padded, lengths), lengths

    def _make(
        self, inputs: Inputs, max_length: int, progress: Progress | None
    ) -> tuple[Shapes, Callable[[dict[str, np.ndarray]], None]]:
        backbone = self._backbone
        if isinstance(inputs, np.ndarray):
            tokens = np.zeros(0, np.int32)
            offsets = np.arange(len(inputs) + 1, dtype=np.int64) * image_tokens(backbone)
        else:
            tokens, offsets = pack(tokenise(backbone.source, inputs, max_length))
        stored = "<f4" if backbone.dtype == torch.float32 else "<i2"
        shapes: dict[str, tuple[str, tuple[int, ...]]] = {
            "offsets": ("<i8", offsets.shape),
            "tokens": ("<i4", tokens.shape),
        }
        if self._layer:
            shapes["states"] = (stored, (int(offsets[-1]), backbone.hidden_size))

        def fill(arrays: dict[str, np.ndarray]) -> None:
            arrays["offsets"][:] = offsets
            if len(tokens):
                arrays["tokens"][:] = tokens
            if self._layer:
                self._fill_states(inputs, tokens, offsets, arrays["states"], progress)

        return shapes, fill

    def _fill_states(
        self,
        inputs: Inputs,
        tokens: np.ndarray,
        offsets: np.ndarray,
        states: np.ndarray,
        progress: Progress | None,
    ) -> None:
        backbone, done = self._backbone, 0
        whole = torch.from_numpy(states).view(backbone.dtype)
        for rows in by_length(np.diff(offsets)):
            if isinstance(inputs, np.ndarray):
                arguments = {"pixel_values": pixels(inputs[rows], backbone.device).to(backbone.dtype)}
                sizes = [int(offsets[1])] * len(rows)
            else:
                ids = [tokens[offsets[i] : offsets[i + 1]].tolist() for i in rows]
                padded, sizes = pad(ids, backbone.pad, backbone.device)
                arguments = backbone.inputs(padded, sizes)
            with torch.no_grad():
                hidden = backbone.prefix(arguments).cpu()
            for row, (sample, size) in enumerate(zip(rows, sizes, strict=True)):
                whole[offsets[sample] : offsets[sample + 1]] = hidden[row, :size]
            done += len(rows)
            if progress is not None:
                progress(done, len(offsets) - 1)

    def batch(self, index: Tensor) -> tuple[dict[str, Tensor], list[int], Tensor | None]:
        """Returns the model's arguments, the lengths and the stored states (B, L, D) of samples (B,).

        Padding repeats a sample's last state; attention and pooling are masked there.
        """
        device = self._backbone.device
        where = index.cpu().numpy()
        lengths = self.lengths[where].tolist()
        longest = max(lengths)
        rows = index.to(self.device)
        first, last = self._offsets[rows].unsqueeze(1), self._offsets[rows + 1].unsqueeze(1)
        places = first + torch.arange(longest, device=self.device)
        inside = places < last
        places = torch.minimum(places, last - 1)
        start: Tensor | None = None
        if self._states is not None:
            start = self._states.index_select(0, places.flatten()).view(len(lengths), longest, -1).to(device)
        if self._images is not None:
            arguments = {"pixel_values": pixels(self._images[where], device).to(self._backbone.dtype)}
            return arguments, lengths, start
        ids = self._tokens[places].long().masked_fill(~inside, self._backbone.pad).to(device)
        return self._backbone.inputs(ids, lengths), lengths, start

"""Texts and images as batches for a backbone.

Shapes: N = samples, T = tokens of all texts together, B = batch, L = longest text of the batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from qfedfm.core.errors import RequestError
from qfedfm.models.backbones.source import Source
from qfedfm.models.backbones.transformer import quiet

TOKENS_A_BATCH = 4096
ROWS_A_BATCH = 128


def tokenise(source: Source, texts: Sequence[str], max_length: int) -> list[list[int]]:
    """Returns token ids per text, special tokens included, cut at ``max_length`` and never empty."""
    from transformers import AutoTokenizer

    with quiet():
        try:
            tokenizer = AutoTokenizer.from_pretrained(source.folder, local_files_only=True)
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise RequestError(
                f"model.backbone: {source.name} has no tokenizer that transformers can load"
            ) from error
        ids: list[list[int]] = tokenizer(list(texts), truncation=True, max_length=max_length)["input_ids"]
    known = (tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.pad_token_id, 0)
    blank = next(token for token in known if token is not None)
    ids = [row or [blank] for row in ids]
    if max(max(row) for row in ids) >= source.vocabulary:
        raise RequestError(
            f"model.backbone: the tokenizer of {source.name} has more tokens than its model; "
            "name a folder whose tokenizer and weights belong together"
        )
    return ids


def pack(ids: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Returns tokens (T,) int32 and where each text begins, (N + 1,) int64."""
    offsets = np.zeros(len(ids) + 1, np.int64)
    np.cumsum([len(row) for row in ids], out=offsets[1:])
    tokens = np.fromiter((token for row in ids for token in row), np.int32, count=int(offsets[-1]))
    return tokens, offsets


def pad(ids: Sequence[Sequence[int]], token: int, device: str) -> tuple[Tensor, list[int]]:
    """Returns ids (B, L) padded on the right, and the lengths."""
    lengths = [len(row) for row in ids]
    padded = torch.full((len(ids), max(lengths)), token, dtype=torch.int64)
    for row, values in enumerate(ids):
        padded[row, : len(values)] = torch.tensor(values)
    return padded.to(device), lengths


def by_length(lengths: np.ndarray) -> Iterator[np.ndarray]:
    """Yields sample numbers in batches of like length, longest first, of bounded tokens and rows."""
    order = np.argsort(-lengths, kind="stable")
    first = 0
    while first < len(order):
        rows = max(1, min(ROWS_A_BATCH, TOKENS_A_BATCH // max(1, int(lengths[order[first]]))))
        yield order[first : first + rows]
        first += rows


def pixels(images: np.ndarray, device: str) -> Tensor:
    """Returns (B, 1, H, W) in [-1, 1] from images (B, H, W) in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32)).to(device).unsqueeze(1) * 2 - 1


def fingerprint(inputs: Sequence[str] | np.ndarray) -> str:
    """Returns a SHA-256 of the texts, or of the array, in order."""
    digest = hashlib.sha256()
    if isinstance(inputs, np.ndarray):
        digest.update(f"{inputs.dtype}{inputs.shape}".encode())
        digest.update(np.ascontiguousarray(inputs).data)
        return digest.hexdigest()
    for text in inputs:
        content = text.encode("utf-8", "surrogatepass")
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()

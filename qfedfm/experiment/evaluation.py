"""Predictions of one model on the samples of a run's data, and their headline numbers.

Shapes: n = samples asked for, C = classes, d = number of trainable scalars.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from qfedfm.models import Model

BATCH = 256


def logits_of(model: Model, vector: Tensor, index: np.ndarray, batch_size: int = BATCH) -> np.ndarray:
    """Returns the logits of the samples ``index`` under the model ``vector``, in their order.

    Args:
        model: The model.
        vector: Its trainable scalars, shape (d,).
        index: Sample numbers, shape (n,).
        batch_size: Samples a call; batches hold texts of like length.

    Returns:
        float32, shape (n, C).
    """
    import torch

    lengths = model.lengths
    order = np.arange(len(index)) if lengths is None else np.argsort(lengths[index], kind="stable")
    leaves = model.leaves(vector.unsqueeze(0))
    parts: list[Tensor] = []
    with torch.no_grad():
        for first in range(0, len(order), batch_size):
            chosen = torch.from_numpy(index[order[first : first + batch_size]]).unsqueeze(0)
            parts.append(model.logits(leaves, chosen.to(vector.device))[0].float().cpu())
    found = torch.cat(parts).numpy()
    logits = np.empty_like(found)
    logits[order] = found
    return logits


def headline(logits: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Returns (mean cross-entropy over known classes, accuracy); a class beyond C counts as wrong.

    Args:
        logits: Shape (n, C).
        labels: Shape (n,).
    """
    known = labels < logits.shape[1]
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    rows = np.flatnonzero(known)
    loss = float(-log_p[rows, labels[rows]].mean()) if len(rows) else 0.0
    return loss, float((logits.argmax(1) == labels).mean())

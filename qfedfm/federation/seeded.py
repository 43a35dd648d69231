"""Local training by losses alone along the directions of a pool, one client or many at once.

Shapes: K = clients trained together, A = clients still active, S = directions, d = numbers of
the model, B = batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from qfedfm.core.metrics import Metrics
from qfedfm.core.random import Streams
from qfedfm.federation.algorithms.fedkseed import FedKSeed
from qfedfm.federation.config import ClientConfig
from qfedfm.federation.training import Loss, Trained, cross_entropy, log_prior, pack_batches

if TYPE_CHECKING:
    from torch import Tensor

    from qfedfm.models.seeded import SeededModel


def train_seeded(
    model: SeededModel,
    labels: Tensor,
    config: ClientConfig,
    *,
    start: Tensor,
    batches: Sequence[list[np.ndarray]],
    rate_scale: float,
    streams: Sequence[Streams],
    held: Sequence[np.ndarray] = (),
    loss: Loss | None = None,
) -> Trained:
    """Trains K clients from the same coefficients; K is 1 with shots, and without a client axis.

    Every step of a client is two forward passes over its batch. Its draws depend on its own streams only.

    Args:
        model: What is trained.
        labels: The class of every sample of the data set, shape (N,).
        config: The clients' options.
        start: The global coefficients, (S,), float64.
        batches: Per client, its batches in order.
        rate_scale: The schedule's factor in this round.
        streams: Per client, its streams of this round.
        held: Per client, all samples that it holds; needed where logits are adjusted.
        loss: From logits (n, C) and classes (n,) to losses (n,); cross-entropy by default.
    """
    import torch

    method = config.algorithm
    assert isinstance(method, FedKSeed)
    measure, device = loss or cross_entropy, labels.device
    order = sorted(range(len(batches)), key=lambda k: -len(batches[k]))
    steps = [len(batches[k]) for k in order]
    index_KSB, mask_KSB = pack_batches([batches[k] for k in order])
    index, mask = torch.from_numpy(index_KSB).to(device), torch.from_numpy(mask_KSB).to(device)
    seeds = [streams[k]("seeds").integers(model.pool.count, size=len(batches[k])) for k in order]
    rate, size = config.optimizer.lr * rate_scale, method.perturbation
    prior = None
    if config.logit_adjustment:
        classes = model.logits_at(model.expand(start).float().unsqueeze(0), index[:1, 0, :1]).shape[-1]
        prior = config.logit_adjustment * log_prior(labels, [held[k] for k in order], classes)
    change = torch.zeros(len(order), model.pool.count, dtype=torch.float64)
    w_Kd = model.expand(start).expand(len(order), -1).clone()
    sums = torch.zeros(2, len(order), dtype=torch.float64)
    generator = streams[0].torch("shots") if method.shots is not None else None
    with torch.no_grad(), model.sampling(method.shots, generator):
        for step in range(steps[0]):
            active = sum(1 for count in steps if count > step)
            numbers = [int(own[step]) for own in seeds[:active]]
            z = model.directions(numbers)
            width = index.shape[2] if model.client_axis else int(mask[0, step].sum())
            chosen, part = index[:active, step, :width], mask[:active, step, :width].double()
            target = labels[chosen]
            here, away = w_Kd[:active].float(), size * z
            both = torch.cat([here + away, here - away])
            logits = model.logits_at(both, torch.cat([chosen, chosen])).double()
            scored = logits if prior is None else logits + torch.cat([prior[:active]] * 2).unsqueeze(1)
            losses = measure(scored.flatten(0, 1), torch.cat([target, target]).flatten())
            totals = (losses.view(2, active, width) * part).sum(2)
            plus, minus = totals / part.sum(1)
            move = -rate * (plus - minus) / (2 * size)
            w_Kd[:active] += move.unsqueeze(1) * z
            change[torch.arange(active), torch.tensor(numbers)] += move.cpu()
            sums[0, :active] += totals.mean(0).cpu()
            right = (logits.argmax(-1).view(2, active, width) == target) * part
            sums[1, :active] += right.sum(2).mean(0).cpu()
    back = [order.index(k) for k in range(len(order))]
    seen = [float(sum(len(batch) for batch in own)) for own in batches]
    return Trained(
        delta_KD=change[back].to(start.device),
        steps_K=torch.tensor([float(len(own)) for own in batches]),
        metrics=[
            Metrics.of(
                loss=(float(sums[0, back[k]]), seen[k]),
                accuracy=(float(sums[1, back[k]]), seen[k]),
                forward_passes=(2.0 * len(batches[k]), 1.0),
            )
            for k in range(len(order))
        ],
        optimizer=[{} for _ in order],
        local={},
    )

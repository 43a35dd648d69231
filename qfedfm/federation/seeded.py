"""Local training by losses alone along the directions of a pool, one client or many at once.

Shapes: K = clients trained together, A = clients still active, S = directions of the pool, D = directions of
a step, P = points at which a step measures, d = numbers of the model, B = batch, C = classes.
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

MOST_AT_ONCE, USUAL_WIDTH = 1 << 21, 384
"""Numbers of weights, or of samples' features of usual width, that one call holds."""


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

    A step of a client is P forward passes over its batch: 2 D, or D + 1 from one side. Its draws depend on
    its own streams only.

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
    seeds = [_draw(streams[k]("seeds"), model.pool.count, method.directions, len(batches[k])) for k in order]
    rate, size = config.optimizer.lr * rate_scale, method.perturbation
    shifts = _shifts(method)
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
            numbers = np.stack([own[step] for own in seeds[:active]])
            z = model.directions(numbers.reshape(-1).tolist()).view(active, method.directions, -1)
            width = index.shape[2] if model.client_axis else int(mask[0, step].sum())
            chosen, part = index[:active, step, :width], mask[:active, step, :width].double()
            target = labels[chosen]
            logits = _logits(model, w_Kd[:active].float(), size * z, shifts, chosen)
            scored = logits if prior is None else logits + prior[:active, None, None]
            right = target.unsqueeze(1).expand(logits.shape[:-1])
            losses = measure(scored.flatten(0, 2), right.flatten()).view(right.shape)
            totals = (losses * part.unsqueeze(1)).sum(2)
            slopes = _slopes(totals / part.sum(1, keepdim=True), method)
            move = -rate * slopes
            w_Kd[:active] += torch.einsum("ad,adn->an", move, z.double())
            change[torch.arange(active).unsqueeze(1), torch.from_numpy(numbers)] += move.cpu()
            told = slice(0, 1) if method.sides == "one" else slice(None)  # L(w), or the mean about it
            sums[0, :active] += totals[:, told].mean(1).cpu()
            hits = (logits.argmax(-1) == right) * part.unsqueeze(1)
            sums[1, :active] += hits.sum(2)[:, told].mean(1).cpu()
    back = [order.index(k) for k in range(len(order))]
    seen = [float(sum(len(batch) for batch in own)) for own in batches]
    return Trained(
        delta_KD=change[back].to(start.device),
        steps_K=torch.tensor([float(len(own)) for own in batches]),
        metrics=[
            Metrics.of(
                loss=(float(sums[0, back[k]]), seen[k]),
                accuracy=(float(sums[1, back[k]]), seen[k]),
                forward_passes=(float(method.passes * len(batches[k])), 1.0),
            )
            for k in range(len(order))
        ],
        optimizer=[{} for _ in order],
        local={},
    )


def _draw(rng: np.random.Generator, pool: int, directions: int, steps: int) -> np.ndarray:
    """Returns the numbers of each step's directions, all different within a step, (steps, D)."""
    if directions == 1:
        return rng.integers(pool, size=(steps, 1))
    return np.stack([rng.choice(pool, directions, replace=False) for _ in range(steps)])


def _shifts(method: FedKSeed) -> list[tuple[int, int]]:
    """Returns for each of the P points its direction and how many ε along it; (0, 0) are the weights."""
    along = [(j, 1) for j in range(method.directions)]
    return [(0, 0), *along] if method.sides == "one" else [*along, *((j, -1) for j, _ in along)]


def _slopes(losses: Tensor, method: FedKSeed) -> Tensor:
    """Returns the slope along each direction, (A, D), from the losses at the points, (A, P)."""
    if method.sides == "one":
        return (losses[:, 1:] - losses[:, :1]) / method.perturbation
    plus, minus = losses.chunk(2, dim=1)
    return (plus - minus) / (2 * method.perturbation)


def _logits(
    model: SeededModel, w: Tensor, away: Tensor, shifts: Sequence[tuple[int, int]], chosen: Tensor
) -> Tensor:
    """Returns logits at all points, (A, P, B, C) float64.

    Args:
        model: What is trained.
        w: The weights, (A, d) float32.
        away: ε times the directions, (A, D, d).
        shifts: The points.
        chosen: The samples, (A, B).
    """
    import torch

    most = max(1, MOST_AT_ONCE // (len(w) * max(w.shape[1], chosen.shape[1] * USUAL_WIDTH)))
    parts = []
    for first in range(0, len(shifts), most):
        some = shifts[first : first + most]
        points = torch.stack([w + sign * away[:, j] for j, sign in some], dim=1)
        index = chosen.unsqueeze(1).expand(-1, len(some), -1)
        found = model.logits_at(points.flatten(0, 1), index.flatten(0, 1)).double()
        parts.append(found.view(len(w), len(some), *found.shape[1:]))
    return torch.cat(parts, dim=1)

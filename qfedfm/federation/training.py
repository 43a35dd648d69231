"""Local training of one client, or of many at once.

Shapes: K = clients trained together, A = clients still active, S = steps, B = batch, C = classes,
d = number of trainable scalars.

Clients whose model has a client axis share every call: each tensor carries a leading axis K, the
losses are summed over clients, and as every optimizer acts on each number, or each client, by itself, each
client's trajectory is the one it would have alone (up to the rounding of batched matrix products).
Clients are ordered by their number of steps, so those who have finished leave from the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from qfedfm.core.changes import Changes
from qfedfm.core.metrics import Metrics
from qfedfm.core.random import Streams
from qfedfm.core.tensors import FlatTensors, Layout
from qfedfm.federation.config import ClientConfig
from qfedfm.federation.optimizer_state import kept_state, restore_state, shrink
from qfedfm.optim.client import make_optimizers

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from qfedfm.optim.circuits.landscape import CircuitView, Landscape

POOL_BATCHES = 8
Loss = Callable[["Tensor", "Tensor"], "Tensor"]


class Trainable(Protocol):
    """What the training loop needs of a model; ``qfedfm.models.Model`` is one."""

    @property
    def layout(self) -> Layout:
        """What lies where in the vector of trainable scalars."""

    @property
    def client_axis(self) -> bool:
        """Whether leaves carry a leading client axis."""

    @property
    def lengths(self) -> np.ndarray | None:
        """Tokens per sample, where batches of like length are cheaper."""

    def leaves(self, vectors: Tensor) -> dict[str, Tensor]:
        """Returns leaf tensors that require gradients, from vectors (K, d)."""

    def gather(self, leaves: dict[str, Tensor]) -> Tensor:
        """Returns the vectors (K, d) of ``leaves``, detached."""

    def logits(self, leaves: dict[str, Tensor], index: Tensor) -> Tensor:
        """Returns (K, B, C) logits of the samples ``index`` (K, B)."""

    def circuit_view(self, leaves: dict[str, Tensor], index: Tensor) -> CircuitView:
        """Returns the head's circuit on the samples ``index`` (K, B), for optimizers of its weights."""

    def reseed(self, generator: torch.Generator) -> None:
        """Gives the model the generator of its dropout for one client's training."""

    def fold(self, changes: Changes) -> None:
        """Makes ``changes`` the changes of the frozen weights."""


@dataclass(frozen=True)
class Trained:
    """What came out of training K clients, in the order they were given.

    Args:
        delta_KD: Trained minus global model, shape (K, d).
        steps_K: Steps taken, shape (K,), float32.
        metrics: Per client, loss and accuracy summed over the examples it saw.
        optimizer: Per client, the optimizer's tensors when they are kept, else empty.
        local: What the algorithm's ``begin`` returned, as training left it, each (d,) or (K, d).
        measured: What the algorithm measured of the trained clients, each with a leading axis K.
    """

    delta_KD: Tensor
    steps_K: Tensor
    metrics: list[Metrics]
    optimizer: list[dict[str, Tensor]]
    local: dict[str, Tensor]
    measured: dict[str, Tensor] = field(default_factory=dict)


def plan_batches(
    index: np.ndarray, config: ClientConfig, rng: np.random.Generator, lengths: np.ndarray | None, work: float
) -> list[np.ndarray]:
    """Returns a client's batches for one round, as arrays of sample numbers.

    Samples are shuffled anew for every pass. Where lengths matter, each pool of eight batches is sorted
    by length before it is cut, and the batches are shuffled, so that padding stays small.

    Args:
        index: The client's training samples, shape (n,).
        config: Epochs or steps, and the batch size.
        rng: The client's stream of this round.
        lengths: Tokens per sample over the whole data set, or None.
        work: The part of the steps that is done (below 1 for a straggler; at least one step).
    """
    size, batches = config.batch_size, list[np.ndarray]()
    per_pass = -(-len(index) // size)
    wanted = config.steps if config.steps is not None else config.epochs * per_pass
    while len(batches) < wanted:
        order = rng.permutation(index)
        if lengths is None:
            batches += [order[i : i + size] for i in range(0, len(order), size)]
            continue
        cut: list[np.ndarray] = []
        for first in range(0, len(order), size * POOL_BATCHES):
            pool = order[first : first + size * POOL_BATCHES]
            pool = pool[np.argsort(lengths[pool], kind="stable")]
            cut += [pool[i : i + size] for i in range(0, len(pool), size)]
        batches += [cut[i] for i in rng.permutation(len(cut))]
    return batches[: max(1, round(wanted * work))]


def train_clients(
    model: Trainable,
    labels: Tensor,
    config: ClientConfig,
    *,
    start: Tensor,
    batches: Sequence[list[np.ndarray]],
    server: dict[str, Tensor],
    client: dict[str, Tensor],
    rate_scale: float,
    streams: Sequence[Streams],
    held: Sequence[np.ndarray] = (),
    optimizer_state: Sequence[dict[str, Tensor] | None] | None = None,
    unmoved: frozenset[str] = frozenset(),
    anchor: Tensor | None = None,
    loss: Loss | None = None,
) -> Trained:
    """Trains K clients from the same start; K is 1 unless the model has a client axis.

    Args:
        model: What is trained.
        labels: The class of every sample of the data set, shape (N,).
        config: The clients' options.
        start: The global model, shape (d,), or where each client starts, (K, d).
        batches: Per client, its batches in order.
        server: The algorithm's server vectors, each (d,).
        client: The algorithm's client vectors, each (K, d).
        rate_scale: The schedule's factor in this round.
        streams: Per client, its streams of this round.
        held: Per client, all samples that it holds; needed where logits are adjusted.
        optimizer_state: Per client, kept optimizer tensors (only with K = 1).
        unmoved: Names of tensors that are not trained in this round.
        anchor: What the algorithm takes for the global model, if that is not where clients start.
        loss: From logits (n, C) and classes (n,) to losses (n,); cross-entropy by default.
    """
    import torch

    order = sorted(range(len(batches)), key=lambda k: -len(batches[k]))
    steps = [len(batches[k]) for k in order]
    index_KSB, mask_KSB = pack_batches([batches[k] for k in order])
    device = labels.device
    index, mask = torch.from_numpy(index_KSB).to(device), torch.from_numpy(mask_KSB).to(device)
    if not model.client_axis:
        model.reseed(streams[0].torch("dropout", device=device.type))

    rows = torch.tensor(order, device=device)
    begin = _in_order(start if anchor is None else anchor, rows)
    local = config.algorithm.begin(begin, server, {n: v[rows] for n, v in client.items()})
    first = _in_order(start, rows)
    leaves = model.leaves(first.expand(len(order), -1))
    for name in unmoved:
        leaves[name].requires_grad_(False)
    optimizers, circuit = make_optimizers(config.optimizer, leaves, rate_scale)
    generators = [streams[k].torch("circuit") for k in order] if circuit is not None else []
    measure = loss or cross_entropy
    if optimizer_state is not None and optimizer_state[0] is not None:
        restore_state(optimizers, leaves, optimizer_state[0])
    prior: Tensor | None = None
    sums = torch.zeros(2, len(order), device=device)
    done: list[Tensor] = []
    active = len(order)
    for step in range(steps[0]):
        still = sum(1 for count in steps[:active] if count > step)
        if still < active:
            done.insert(0, model.gather(leaves)[still:])
            leaves, active = shrink(optimizers, leaves, still), still
        part = mask[:active, step]
        counts = part.sum(1)
        width = int(part.shape[1]) if model.client_axis else int(counts[0])
        chosen = index[:active, step, :width]
        target, part = labels[chosen], part[:, :width]
        logits = model.logits(leaves, chosen)
        scored = logits
        if config.logit_adjustment:
            if prior is None:
                prior = config.logit_adjustment * log_prior(
                    labels, [held[k] for k in order], logits.shape[-1]
                )
            scored = logits + prior[:active].unsqueeze(1)
        losses = measure(scored.flatten(0, 1), target.flatten()).view_as(part)
        loss_K = (losses * part).sum(1)
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward((loss_K / counts).sum())
        if circuit is not None:
            circuit.observe(
                _landscape(model, leaves, chosen, target, part, measure, prior, generators[:active])
            )
        if local:
            config.algorithm.correct(leaves, _views(local, model.layout, active, model.client_axis))
        if config.clip_norm is not None:
            _clip(leaves, config.clip_norm, model.client_axis)
        for optimizer in optimizers:
            optimizer.step()
        if local:
            with torch.no_grad():
                views = _views(local, model.layout, active, model.client_axis)
                config.algorithm.after_step(leaves, views, step, rate_scale)
        with torch.no_grad():
            sums[0, :active] += loss_K.detach()
            sums[1, :active] += ((logits.detach().argmax(-1) == target) * part).sum(1)
    vectors = torch.cat([model.gather(leaves), *done])

    back = torch.empty_like(rows)
    back[rows] = torch.arange(len(order), device=device)
    kept: list[dict[str, Tensor]] = [{} for _ in order]
    if config.keep_optimizer_state:
        kept[0] = kept_state(optimizers, leaves)
    measured: dict[str, Tensor] = {}
    if config.algorithm.measures:
        width = int(mask.shape[2]) if model.client_axis else int(mask[0, 0].sum())
        chosen, part = index[:, 0, :width], mask[:, 0, :width]
        scene = _landscape(
            model, model.leaves(vectors), chosen, labels[chosen], part, measure, prior, generators
        )
        measured = {name: rows[back] for name, rows in config.algorithm.measure(scene).items()}
    totals = sums.T.tolist()
    seen = [float(sum(len(batch) for batch in batches[k])) for k in range(len(order))]
    where = back.tolist()
    return Trained(
        delta_KD=(vectors - first)[back],
        steps_K=torch.tensor([float(len(plan)) for plan in batches], device=device),
        metrics=[
            Metrics.of(loss=(totals[where[k]][0], seen[k]), accuracy=(totals[where[k]][1], seen[k]))
            for k in range(len(order))
        ],
        optimizer=kept,
        local={name: tensor[back] if tensor.dim() == 2 else tensor for name, tensor in local.items()},
        measured=measured,
    )


def _in_order(vector: Tensor, rows: Tensor) -> Tensor:
    return vector if vector.dim() == 1 else vector[rows]


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Returns the cross-entropy of each sample, (n,), from logits (n, C) and classes (n,)."""
    import torch

    return torch.nn.functional.cross_entropy(logits, target, reduction="none")


def log_prior(labels: Tensor, held: Sequence[np.ndarray], classes: int) -> Tensor:
    """Returns the log of each client's class frequencies with one added count a class, (K, C)."""
    import torch

    rows = [torch.from_numpy(index).to(labels.device) for index in held]
    counts = torch.stack([torch.bincount(labels[row], minlength=classes) for row in rows])
    return torch.log((counts + 1.0) / (counts.sum(1, keepdim=True) + classes))


def pack_batches(batches: Sequence[list[np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Returns sample numbers (K, S, B), padded with each client's first sample, and the mask."""
    steps = len(batches[0])
    width = max(len(batch) for plan in batches for batch in plan)
    index = np.zeros((len(batches), steps, width), dtype=np.int64)
    mask = np.zeros((len(batches), steps, width), dtype=np.float32)
    for k, plan in enumerate(batches):
        index[k] = plan[0][0]
        for step, batch in enumerate(plan):
            index[k, step, : len(batch)] = batch
            mask[k, step, : len(batch)] = 1
    return index, mask


def _views(
    local: dict[str, Tensor], layout: Layout, active: int, client_axis: bool
) -> dict[str, FlatTensors]:
    views = {}
    for name, tensor in local.items():
        if tensor.dim() == 2:
            tensor = tensor[:active] if client_axis else tensor[0]
        views[name] = layout.view(tensor)
    return views


def _landscape(
    model: Trainable,
    leaves: dict[str, Tensor],
    chosen: Tensor,
    target: Tensor,
    mask: Tensor,
    measure: Loss,
    shift: Tensor | None,
    generators: Sequence[torch.Generator],
) -> Landscape:
    """Returns this step's batch as a function of circuit weights.

    Args:
        model: The model.
        leaves: Its tensors as they are.
        chosen: The samples, (K, B).
        target: Their classes, (K, B).
        mask: 1 for samples, 0 for padding, (K, B).
        measure: From logits (n, C) and classes (n,) to losses (n,).
        shift: What is added to logits, (K, C), or None.
        generators: Each client's own.
    """
    from qfedfm.optim.circuits.landscape import Landscape

    counts = mask.sum(1, keepdim=True)

    def loss(logits: Tensor) -> Tensor:  # (K, P, B, C) to (K, P)
        scored = logits if shift is None else logits + shift[: len(logits), None, None]
        wide = target.unsqueeze(1).expand(scored.shape[:3])
        losses = measure(scored.flatten(0, 2), wide.flatten()).view(scored.shape[:3])
        return (losses * mask.unsqueeze(1)).sum(2) / counts

    return Landscape(model.circuit_view(leaves, chosen), loss, mask, generators)


def _clip(leaves: dict[str, Tensor], largest: float, client_axis: bool) -> None:
    """Scales each client's gradient to an L2 norm of at most ``largest``."""
    import torch

    gradients = [leaf.grad for leaf in leaves.values() if leaf.grad is not None]
    if not gradients:
        return
    if not client_axis:
        torch.nn.utils.clip_grad_norm_(list(leaves.values()), largest)
        return
    norms = torch.stack([gradient.flatten(1).square().sum(1) for gradient in gradients]).sum(0).sqrt()
    scale = (largest / (norms + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(scale.view(-1, *[1] * (gradient.dim() - 1)))

"""Every client in this process; head-only clients together in one call.

Shapes: K = clients in a call, d = number of trainable scalars.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from qfedfm.aggregation.layers import truncated
from qfedfm.core.metrics import Metrics
from qfedfm.core.random import Streams
from qfedfm.core.tensors import FlatTensors, Layout
from qfedfm.core.update import Update
from qfedfm.federation.algorithms import PERSONAL
from qfedfm.federation.config import ClientConfig
from qfedfm.federation.seeded import train_seeded
from qfedfm.federation.stages.chain import feeds_back, pack
from qfedfm.federation.store import ClientStore
from qfedfm.federation.training import Loss, Trainable, Trained, plan_batches, train_clients
from qfedfm.federation.travel import Travel, part_of

if TYPE_CHECKING:
    from torch import Tensor

    from qfedfm.federation.faults import Faults
    from qfedfm.federation.messages import Broadcast
    from qfedfm.federation.plan import Plan

MOST_CLIENTS_A_CALL = 128
_OPTIMIZER = "optimizer/"
_ALGORITHM = "algorithm/"
_LOCAL = "local/"
_ERROR = "error/"


class ClientData(Protocol):
    """Which samples belong to whom; ``qfedfm.data.ClientIndex`` is one."""

    @property
    def sizes(self) -> np.ndarray:
        """Training examples per client, shape (N,)."""

    def train(self, client: int) -> np.ndarray:
        """Returns the client's training samples, shape (n,)."""


class LocalEngine:
    """Trains clients in this process.

    Args:
        model: What is trained.
        labels: The class of every sample, shape (samples,), on the model's device.
        clients: Which samples belong to whom.
        store: What belongs to a client from round to round.
        loss: The loss of each sample; cross-entropy by default.
    """

    def __init__(
        self,
        model: Trainable,
        labels: Tensor,
        clients: ClientData,
        store: ClientStore,
        loss: Loss | None = None,
    ) -> None:
        self._loss = loss
        self._folded = False
        self._model = model
        self._labels = labels
        self._clients = clients
        self._store = store

    @property
    def sizes(self) -> np.ndarray:
        """Training examples per client, shape (N,)."""
        return self._clients.sizes

    @cached_property
    def class_counts(self) -> np.ndarray:
        """Training examples of each class per client, shape (N, C)."""
        labels = self._labels.cpu().numpy()
        rows = [
            np.bincount(labels[self._clients.train(client)], minlength=int(labels.max()) + 1)
            for client in range(len(self._clients.sizes))
        ]
        return np.stack(rows)

    @property
    def layout(self) -> Layout:
        """What is trained and travels."""
        return self._model.layout

    def train(
        self, plan: Plan, broadcast: Broadcast, cohort: Sequence[int], faults: Faults, rng: Streams
    ) -> list[Update]:
        """Returns the replies, in the cohort's order."""
        if broadcast.frozen or self._folded:
            self._model.fold(broadcast.frozen)
            self._folded = bool(broadcast.frozen)
        present = [client for client in cohort if client not in faults.dropped]
        together = 1
        alone = plan.client.keep_optimizer_state or plan.client.algorithm.alone
        if self._model.client_axis and not alone:
            together = plan.federation.batch_clients or MOST_CLIENTS_A_CALL
        replies: list[Update] = []
        for first in range(0, len(present), together):
            replies += self._chunk(plan, broadcast, present[first : first + together], faults, rng)
        return replies

    def _chunk(
        self, plan: Plan, broadcast: Broadcast, clients: Sequence[int], faults: Faults, rng: Streams
    ) -> list[Update]:
        import torch

        config, algorithm, layout = plan.client, plan.client.algorithm, self.layout
        travel = Travel(plan, layout, broadcast.round, broadcast.ranks)
        streams = [rng.at("client", client) for client in clients]
        held = [np.sort(self._clients.train(client)) for client in clients]
        batches = [
            plan_batches(index, config, stream("batches"), self._model.lengths, faults.work.get(client, 1.0))
            for client, index, stream in zip(clients, held, streams, strict=True)
        ]
        batches = [[batch for batch in own for _ in range(algorithm.repeats)] for own in batches]
        blank = algorithm.client_init(broadcast.model)
        local = tuple(name for name in layout.names if plan.keeps(name))
        keeps = bool(blank or local) or config.keep_optimizer_state or feeds_back(plan.stages)
        entries = self._store.read(clients) if keeps else [None] * len(clients)
        start = self._starts(broadcast, travel, clients, entries, local)
        own = {
            name: torch.stack(
                [(entry or {}).get(_ALGORITHM + name, vector).to(start.device) for entry in entries]
            )
            for name, vector in blank.items()
        }
        scale = config.rate_scale(broadcast.round, plan.federation.rounds)

        def train(client: ClientConfig, first: Tensor, vectors: dict[str, Tensor], **options: Any) -> Trained:
            return train_clients(
                self._model,
                self._labels,
                client,
                start=first,
                batches=batches,
                server=dict(broadcast.server),
                client=vectors,
                rate_scale=scale,
                streams=streams,
                held=held,
                unmoved=frozenset(n for n in layout.names if not plan.aggregation.trains(n, broadcast.round)),
                loss=self._loss,
                **options,
            )

        if algorithm.seeded:
            trained = train_seeded(
                self._model,  # type: ignore[arg-type]  # a seeded method comes with a seeded model
                self._labels,
                config,
                start=start,
                batches=batches,
                rate_scale=scale,
                streams=streams,
                held=held,
                loss=self._loss,
            )
        else:
            kept_before = [_part(entry, _OPTIMIZER) for entry in entries]
            trained = train(config, start, own, optimizer_state=kept_before)
        delta_KD, instead = algorithm.outcome(start, trained.delta_KD, trained.local)
        auxiliary, kept = algorithm.finish(
            delta_KD,
            algorithm.lengths(trained.steps_K, config.optimizer),
            config.optimizer.lr * scale,
            dict(broadcast.server),
            own,
        )
        auxiliary, kept = auxiliary | trained.measured, {**kept, **instead}
        second = algorithm.personal()
        if second is not None:
            other = config.model_copy(update={"algorithm": second, "keep_optimizer_state": False})
            again = train(other, own[PERSONAL], {}, anchor=start)
            kept[PERSONAL] = own[PERSONAL] + again.delta_KD
        replies, memories = [], []
        for i, client in enumerate(clients):
            steps, part = float(len(batches[i])), travel.up(client)
            update = Update(
                client=client,
                round=broadcast.round,
                examples=int(self._clients.sizes[client]),
                delta=part.view(part_of(delta_KD[i], layout, part)),
                schema=part.schema,
                auxiliary={name: rows[i] for name, rows in auxiliary.items()},
                metrics=trained.metrics[i] + Metrics.of(steps=(steps, 1.0)),
            )
            update, memory = pack(plan.stages, update, streams[i], _part(entries[i], _ERROR) or {})
            replies.append(algorithm.pack(update))
            memories.append(memory)
        if keeps:
            ends = [layout.view(row) for row in start + trained.delta_KD] if local else []
            self._store.write(
                broadcast.round + 1,
                {
                    client: {_ALGORITHM + name: rows[i].cpu() for name, rows in kept.items()}
                    | {_OPTIMIZER + name: tensor.cpu() for name, tensor in trained.optimizer[i].items()}
                    | {_LOCAL + name: ends[i][name].cpu() for name in local}
                    | {_ERROR + name: tensor.cpu() for name, tensor in memories[i].items()}
                    for i, client in enumerate(clients)
                },
            )
        return replies

    def _starts(
        self,
        broadcast: Broadcast,
        travel: Travel,
        clients: Sequence[int],
        entries: Sequence[dict[str, Tensor] | None],
        local: Sequence[str],
    ) -> Tensor:
        """Returns the global model (d,) where all start from it, else each client's start (K, d)."""
        import torch

        if broadcast.ranks is None and not local:
            return broadcast.model
        rows = []
        for client, entry in zip(clients, entries, strict=True):
            rank = travel.rank(client)
            row = broadcast.model.clone() if rank is None else truncated(self.layout, broadcast.model, rank)
            _take_over(self.layout.view(row), entry, local)
            rows.append(row)
        return torch.stack(rows)

    def personal(self, plan: Plan, model: Tensor, clients: Sequence[int]) -> list[Tensor] | None:
        """Returns the clients' own models (d,), or None where the plan has only the global one.

        Args:
            plan: The federation's plan.
            model: The global model, (d,).
            clients: Whose models.
        """
        local = tuple(name for name in self.layout.names if plan.keeps(name))
        whole = PERSONAL in plan.client.algorithm.client_init(model)
        if not local and not whole:
            return None
        found = []
        for entry in self._store.read(clients):
            vector = model.clone()
            if whole and entry is not None:
                vector = entry[_ALGORITHM + PERSONAL].to(model.device)
            _take_over(self.layout.view(vector), entry, local)
            found.append(vector)
        return found


def _take_over(view: FlatTensors, entry: dict[str, Tensor] | None, local: Sequence[str]) -> None:
    for name in local:
        if entry is not None and _LOCAL + name in entry:
            view[name].copy_(entry[_LOCAL + name])


def _part(entry: dict[str, Tensor] | None, prefix: str) -> dict[str, Tensor] | None:
    if entry is None:
        return None
    return {name.removeprefix(prefix): value for name, value in entry.items() if name.startswith(prefix)}

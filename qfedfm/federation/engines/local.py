"""Every client in this process; head-only clients together in one call.

Shapes: K = clients in a call, d = number of trainable scalars.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from qfedfm.core.metrics import Metrics
from qfedfm.core.random import Streams
from qfedfm.core.tensors import Layout
from qfedfm.core.update import Update
from qfedfm.federation.store import ClientStore
from qfedfm.federation.training import Trainable, plan_batches, train_clients

if TYPE_CHECKING:
    from torch import Tensor

    from qfedfm.federation.faults import Faults
    from qfedfm.federation.messages import Broadcast
    from qfedfm.federation.plan import Plan

MOST_CLIENTS_A_CALL = 128
_OPTIMIZER = "optimizer/"
_ALGORITHM = "algorithm/"


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
    """

    def __init__(self, model: Trainable, labels: Tensor, clients: ClientData, store: ClientStore) -> None:
        self._model = model
        self._labels = labels
        self._clients = clients
        self._store = store

    @property
    def sizes(self) -> np.ndarray:
        """Training examples per client, shape (N,)."""
        return self._clients.sizes

    @property
    def layout(self) -> Layout:
        """What is trained and travels."""
        return self._model.layout

    def train(
        self, plan: Plan, broadcast: Broadcast, cohort: Sequence[int], faults: Faults, rng: Streams
    ) -> list[Update]:
        """Returns the replies, in the cohort's order."""
        present = [client for client in cohort if client not in faults.dropped]
        together = 1
        if self._model.client_axis and not plan.client.keep_optimizer_state:
            together = plan.federation.batch_clients or MOST_CLIENTS_A_CALL
        replies: list[Update] = []
        for first in range(0, len(present), together):
            replies += self._chunk(plan, broadcast, present[first : first + together], faults, rng)
        return replies

    def _chunk(
        self, plan: Plan, broadcast: Broadcast, clients: Sequence[int], faults: Faults, rng: Streams
    ) -> list[Update]:
        import torch

        config, algorithm, start = plan.client, plan.client.algorithm, broadcast.model
        streams = [rng.at("client", client) for client in clients]
        held = [np.sort(self._clients.train(client)) for client in clients]
        batches = [
            plan_batches(index, config, stream("batches"), self._model.lengths, faults.work.get(client, 1.0))
            for client, index, stream in zip(clients, held, streams, strict=True)
        ]
        blank = algorithm.client_init(start)
        keeps = bool(blank) or config.keep_optimizer_state
        entries = self._store.read(clients) if keeps else [None] * len(clients)
        own = {
            name: torch.stack(
                [(entry or {}).get(_ALGORITHM + name, vector).to(start.device) for entry in entries]
            )
            for name, vector in blank.items()
        }
        scale = config.rate_scale(broadcast.round, plan.federation.rounds)
        trained = train_clients(
            self._model,
            self._labels,
            config,
            start=start,
            batches=batches,
            server=dict(broadcast.server),
            client=own,
            rate_scale=scale,
            streams=streams,
            held=held,
            optimizer_state=[_part(entry, _OPTIMIZER) for entry in entries],
        )
        auxiliary, kept = algorithm.finish(
            trained.delta_KD, trained.steps_K, config.optimizer.lr * scale, dict(broadcast.server), own
        )
        if keeps:
            self._store.write(
                broadcast.round + 1,
                {
                    client: {_ALGORITHM + name: rows[i].cpu() for name, rows in kept.items()}
                    | {_OPTIMIZER + name: tensor.cpu() for name, tensor in trained.optimizer[i].items()}
                    for i, client in enumerate(clients)
                },
            )
        replies = []
        for i, client in enumerate(clients):
            steps = float(len(batches[i]))
            update = Update(
                client=client,
                round=broadcast.round,
                examples=int(self._clients.sizes[client]),
                delta=self.layout.view(trained.delta_KD[i]),
                schema=self.layout.schema,
                auxiliary={name: rows[i] for name, rows in auxiliary.items()},
                metrics=trained.metrics[i] + Metrics.of(steps=(steps, 1.0)),
            )
            for stage in plan.stages:
                update = stage.on_client(update, streams[i](f"stage/{stage.kind}"))
            replies.append(update)
        return replies


def _part(entry: dict[str, Tensor] | None, prefix: str) -> dict[str, Tensor] | None:
    if entry is None:
        return None
    return {name.removeprefix(prefix): value for name, value in entry.items() if name.startswith(prefix)}

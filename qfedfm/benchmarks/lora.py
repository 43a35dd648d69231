"""LoRA local training against the plain PEFT loop, and the engine's overhead over its own bare loop.

The peer is what a PEFT user writes: AutoModel, get_peft_model with the same adapters, mean pooling, a linear
head, torch AdamW, texts tokenised beforehand and padded to the batch. Same texts, same batches' size, same
number of steps, same initial weights.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from qfedfm.core.random import Streams
from qfedfm.experiment.config import Experiment
from qfedfm.experiment.evaluation import headline, logits_of
from qfedfm.experiment.loading import experiment
from qfedfm.experiment.parts import make_plan
from qfedfm.experiment.running import resolve
from qfedfm.federation.engines.local import LocalEngine
from qfedfm.federation.faults import Faults
from qfedfm.federation.messages import Broadcast
from qfedfm.federation.store import ClientStore
from qfedfm.federation.training import plan_batches

if TYPE_CHECKING:
    from torch import Tensor

    from qfedfm.data import FederatedData
    from qfedfm.models import Model

REPEATS = 3


def _experiment(precision: str, texts: int) -> Experiment:
    return experiment(
        {
            "data": {"partition": {"kind": "iid", "clients": 1}},
            "model": {
                "adapter": {
                    "kind": "lora",
                    "rank": 8,
                    "alpha": 16,
                    "targets": ["query", "value"],
                    "last_layers": 2,
                },
                "head": {"kind": "linear"},
                "precision": precision,
            },
            "client": {"batch_size": 32, "steps": texts // 32, "optimizer": {"kind": "adamw", "lr": 1e-3}},
            "device": "cpu",
        }
    )


def measure(texts: int = 768) -> dict[str, Any]:
    """Returns seconds a step and accuracy of the peer, of ours in float32 and in ``auto``, and ratios."""
    from qfedfm import data as data_room
    from qfedfm import models

    found: dict[str, Any] = {"what": f"{texts // 32} steps of 32 texts, LoRA rank 8 on the last 2 layers"}
    streams = Streams(0)
    data = data_room.load(_experiment("float32", texts).data, streams.at("data"))
    runs: dict[str, Callable[[], tuple[float, float]]] = {}
    for precision in ("float32", "auto"):
        config, device = resolve(_experiment(precision, texts))
        model = models.build(
            config.model, data, max_length=config.data.max_length, device=device, streams=streams.at("model")
        )
        runs[precision] = _ours(config, data, model, streams)
        if precision == "float32":
            start = model.initial()
            runs["peer"] = _peer(config, data, model, start, streams)
            runs["bare"] = _bare(config, data, model, streams)
        else:
            found["auto_is"] = config.model.precision
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(REPEATS):
        for name, once in runs.items():
            seconds, found[f"{name}_accuracy"] = once()
            times[name].append(seconds / (texts // 32))
    for name, values in times.items():
        found[f"{name}_step_seconds"] = statistics.median(values)
    found["float32"] = found["peer_step_seconds"] / found["float32_step_seconds"]
    found["auto"] = found["peer_step_seconds"] / found["auto_step_seconds"]
    found["engine_overhead"] = (
        statistics.median(a / b for a, b in zip(times["float32"], times["bare"], strict=True)) - 1
    )
    return found


def _ours(
    config: Experiment, data: FederatedData, model: Model, streams: Streams
) -> Callable[[], tuple[float, float]]:
    import torch

    labels = torch.from_numpy(np.asarray(data.labels))
    engine = LocalEngine(model, labels, data.clients, ClientStore())
    plan = make_plan(config, data)

    def once() -> tuple[float, float]:
        start = model.initial()
        began = time.perf_counter()
        [reply] = engine.train(
            plan, Broadcast(0, start, model.layout, {}), [0], Faults(), streams.at("round", 0)
        )
        seconds = time.perf_counter() - began
        end = start + model.layout.flatten(reply.delta)
        return seconds, _accuracy(model, end, data)

    return once


def _accuracy(model: Model, vector: Tensor, data: FederatedData) -> float:
    return headline(logits_of(model, vector, data.test), data.labels[data.test])[1]


def _bare(
    config: Experiment, data: FederatedData, model: Model, streams: Streams
) -> Callable[[], tuple[float, float]]:
    """The same batches through the same model in ten lines: what the engine adds is its overhead."""
    import torch

    labels = torch.from_numpy(np.asarray(data.labels))
    rng = streams.at("round", 0).at("client", 0)("batches")
    batches = plan_batches(data.clients.train(0), config.client, rng, model.lengths, 1.0)

    def once() -> tuple[float, float]:
        vector = model.initial()
        began = time.perf_counter()
        leaves = model.leaves(vector.unsqueeze(0))
        optimizer = torch.optim.AdamW(leaves.values(), lr=1e-3)
        for batch in batches:
            index = torch.from_numpy(batch)
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(
                model.logits(leaves, index.unsqueeze(0))[0], labels[index]
            )
            torch.autograd.backward(loss)
            optimizer.step()
        vector = model.gather(leaves)[0]
        seconds = time.perf_counter() - began
        return seconds, _accuracy(model, vector, data)

    return once


def _peer(
    config: Experiment, data: FederatedData, model: Model, start: Tensor, streams: Streams
) -> Callable[[], tuple[float, float]]:
    from qfedfm.benchmarks.peers.peft_loop import PeftLoop

    index = data.clients.train(0)
    steps = config.client.steps
    assert steps is not None
    peer = PeftLoop(len(data.label_names), config.data.max_length)
    train = ([data.inputs[i] for i in index], data.labels[index])
    test = ([data.inputs[i] for i in data.test], data.labels[data.test])
    peer.tokenise(train[0], test[0])

    def once() -> tuple[float, float]:
        peer.reset(dict(model.layout.view(start)))
        seconds = peer.train(train[1], steps, 32, 1e-3, streams("peer", "order"))
        return seconds, peer.accuracy(test[1])

    return once

"""Clients whose losses are quadratics: ``f_k(w) = ½ Σ_i h_ki (w_i − a_ki)²``. Every optimum is known."""

from __future__ import annotations

import numpy as np
import torch

from qfedfm.aggregation import FedAvg
from qfedfm.core.random import Streams
from qfedfm.core.tensors import Layout
from qfedfm.federation.config import ClientConfig, FederationConfig
from qfedfm.federation.engines.local import LocalEngine
from qfedfm.federation.messages import ByteCounter
from qfedfm.federation.plan import Plan
from qfedfm.federation.round import run_round
from qfedfm.federation.store import ClientStore


class QuadraticModel:
    """The logits of every sample are the parameters themselves; a sample's class is its client."""

    client_axis = True
    lengths = None

    def __init__(self, size: int) -> None:
        half = size // 2
        self.layout = Layout((("shared", (half,)), ("own", (size - half,))))

    def leaves(self, vectors):
        views = self.layout.view(vectors)
        return {name: views[name].clone().requires_grad_(True) for name in views}

    def gather(self, leaves):
        return self.layout.flatten({n: t.detach() for n, t in leaves.items()})

    def logits(self, leaves, index):
        return self.layout.flatten(leaves).unsqueeze(1).expand(-1, index.shape[1], -1)

    def reseed(self, generator) -> None:
        pass

    def fold(self, changes) -> None:
        assert not changes


class Quadratic:
    def __init__(self, optimum, curvature=1.0, sizes=(8, 8, 8, 8)) -> None:
        self.a = torch.tensor(optimum, dtype=torch.float32)
        self.h = torch.as_tensor(curvature, dtype=torch.float32).expand_as(self.a).contiguous()
        self.sizes = np.array(sizes)
        ends = np.cumsum(sizes)
        self.parts = np.split(np.arange(ends[-1]), ends[:-1])
        self.labels = torch.from_numpy(np.repeat(np.arange(len(sizes)), sizes))

    def train(self, client):
        return self.parts[client]

    def loss(self, w, client):
        return 0.5 * (self.h[client] * (w - self.a[client]) ** 2).sum(1)

    def engine(self, store=None) -> LocalEngine:
        model = QuadraticModel(self.a.shape[1])
        return LocalEngine(model, self.labels, self, store or ClientStore(), self.loss)

    def run(
        self, algorithm, rounds, *, cohort=None, stages=(), engine=None, start=None, federation=None, **client
    ):
        options = {"batch_size": 8, "optimizer": {"kind": "sgd", "lr": 0.1}} | client
        plan = Plan.of(
            FederationConfig(
                **({"rounds": rounds, "cohort": cohort, "sampler": {"kind": "cyclic"}} | (federation or {}))
            ),
            ClientConfig(algorithm=algorithm, **options),
            FedAvg(weighting="uniform"),
            stages,
        )
        engine = engine or self.engine()
        if start is None:
            start = torch.zeros(self.a.shape[1])
        state, counter, records = plan.initial_state(start, Streams(1)), ByteCounter(), []
        for _ in range(rounds):
            state, record = run_round(state, plan, engine, counter)
            records.append(record)
        return state, records, plan, engine

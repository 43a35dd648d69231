"""A federation of one LoRA layer and a head on synthetic features: small enough to know every number."""

from __future__ import annotations

import numpy as np
import torch

from qfedfm.aggregation import AggregationConfig
from qfedfm.core.changes import dense_change
from qfedfm.core.random import Streams
from qfedfm.core.tensors import Layout
from qfedfm.federation.compatibility import Adapter
from qfedfm.federation.config import ClientConfig, FederationConfig
from qfedfm.federation.engines.local import LocalEngine
from qfedfm.federation.messages import ByteCounter
from qfedfm.federation.plan import Plan
from qfedfm.federation.round import run_round
from qfedfm.federation.store import ClientStore

INPUTS, OUTPUTS, RANK, CLASSES, SCALE = 10, 8, 4, 3, 2.0
MODULE = "block.dense"
DOWN, UP = f"adapter/{MODULE}.lora_A", f"adapter/{MODULE}.lora_B"
LAYOUT = Layout(
    (
        (DOWN, (RANK, INPUTS)),
        (UP, (OUTPUTS, RANK)),
        ("head/weight", (CLASSES, OUTPUTS)),
        ("head/bias", (CLASSES,)),
    )
)


class LoraModel:
    client_axis = False
    lengths = None
    layout = LAYOUT

    def __init__(self, features: torch.Tensor) -> None:
        generator = torch.Generator().manual_seed(1)
        self.features = features
        self.frozen_weight = torch.randn(OUTPUTS, INPUTS, generator=generator) / 3
        self.weight = self.frozen_weight

    def fold(self, changes) -> None:
        self.weight = self.frozen_weight
        if changes:
            self.weight = (self.frozen_weight.double() + dense_change(changes, MODULE)).float()

    def initial(self) -> torch.Tensor:
        generator = torch.Generator().manual_seed(2)
        view = LAYOUT.view(torch.zeros(LAYOUT.size))
        view[DOWN].copy_((torch.rand(RANK, INPUTS, generator=generator) * 2 - 1) / INPUTS**0.5)
        view["head/weight"].copy_(torch.randn(CLASSES, OUTPUTS, generator=generator) / 3)
        return view.vector

    def leaves(self, vectors):
        view = LAYOUT.view(vectors[0])
        return {name: view[name].clone().requires_grad_(True) for name in view}

    def gather(self, leaves):
        return LAYOUT.flatten({n: t.detach() for n, t in leaves.items()}).unsqueeze(0)

    def logits(self, leaves, index):
        x = self.features[index[0]]
        hidden = torch.tanh(x @ self.weight.T + SCALE * x @ leaves[DOWN].T @ leaves[UP].T)
        return (hidden @ leaves["head/weight"].T + leaves["head/bias"]).unsqueeze(0)

    def reseed(self, generator) -> None:
        pass


class Clients:
    def __init__(self, parts):
        self.parts = parts
        self.sizes = np.array([len(p) for p in parts])

    def train(self, client):
        return self.parts[client]


class LoraWorld:
    def __init__(self, sizes=(30, 20, 12, 50), seed=0) -> None:
        rng = np.random.default_rng(seed)
        total = sum(sizes)
        self.labels = torch.from_numpy(rng.integers(0, CLASSES, total))
        centres = rng.normal(size=(CLASSES, INPUTS))
        noise = rng.normal(size=(total, INPUTS))
        self.features = torch.from_numpy((centres[self.labels.numpy()] + noise).astype(np.float32))
        self.clients = Clients(np.split(np.arange(total), np.cumsum(sizes)[:-1]))

    def engine(self, store=None) -> LocalEngine:
        return LocalEngine(LoraModel(self.features), self.labels, self.clients, store or ClientStore())

    def plan(self, rule: AggregationConfig, *, federation=None, stages=(), **client) -> Plan:
        options = {"batch_size": 10, "steps": 3, "optimizer": {"kind": "adamw", "lr": 0.02}} | client
        return Plan.of(
            FederationConfig(**({"rounds": 6} | (federation or {}))),
            ClientConfig(**options),
            rule,
            stages,
            Adapter(RANK, SCALE),
        )

    def run(self, plan, rounds=1, engine=None, state=None, **options):
        engine = engine or self.engine()
        if state is None:
            state = plan.initial_state(engine._model.initial(), Streams(3))
        records = []
        for _ in range(rounds):
            state, record = run_round(state, plan, engine, ByteCounter(), **options)
            records.append(record)
        return state, records


def weight(state, model=None) -> torch.Tensor:
    """Returns the whole weight of the layer under a state, W0 + change + s B A."""
    model = model or LoraModel(torch.zeros(1, INPUTS))
    view = LAYOUT.view(state.model)
    found = model.frozen_weight.double() + SCALE * view[UP].double() @ view[DOWN].double()
    return found + dense_change(state.frozen, MODULE) if state.frozen else found

"""A linear model on synthetic features, with or without a client axis, and an engine around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from qfedfm.core.random import Streams
from qfedfm.core.tensors import Layout
from qfedfm.federation.engines.local import LocalEngine
from qfedfm.federation.messages import ByteCounter
from qfedfm.federation.round import run_round
from qfedfm.federation.store import ClientStore


class LinearModel:
    def __init__(self, features: torch.Tensor, classes: int, client_axis: bool = True) -> None:
        self.features = features
        self.client_axis = client_axis
        self.lengths = None
        self.layout = Layout((("weight", (classes, features.shape[1])), ("bias", (classes,))))

    def leaves(self, vectors: torch.Tensor) -> dict[str, torch.Tensor]:
        if not self.client_axis:
            vectors = vectors[0]
        views = self.layout.view(vectors)
        return {name: views[name].clone().requires_grad_(True) for name in views}

    def gather(self, leaves: dict[str, torch.Tensor]) -> torch.Tensor:
        vector = self.layout.flatten({n: t.detach() for n, t in leaves.items()})
        return vector if self.client_axis else vector.unsqueeze(0)

    def logits(self, leaves: dict[str, torch.Tensor], index: torch.Tensor) -> torch.Tensor:
        weight, bias = leaves["weight"], leaves["bias"]
        if not self.client_axis:
            weight, bias = weight.unsqueeze(0), bias.unsqueeze(0)
        return self.features[index] @ weight.transpose(1, 2) + bias.unsqueeze(1)

    def reseed(self, generator: torch.Generator) -> None:
        pass


@dataclass
class Clients:
    parts: list[np.ndarray]

    @property
    def sizes(self) -> np.ndarray:
        return np.array([len(part) for part in self.parts])

    def train(self, client: int) -> np.ndarray:
        return self.parts[client]


class World:
    """Synthetic samples, a partition, and everything needed to run rounds."""

    def __init__(self, sizes=(40, 25, 7, 64), dimension=5, classes=3, seed=0) -> None:
        rng = np.random.default_rng(seed)
        total = sum(sizes)
        self.labels = torch.from_numpy(rng.integers(0, classes, total))
        centres = rng.normal(size=(classes, dimension))
        self.features = torch.from_numpy(
            (centres[self.labels.numpy()] + rng.normal(size=(total, dimension))).astype(np.float32)
        )
        self.clients = Clients(np.split(np.arange(total), np.cumsum(sizes)[:-1]))
        self.classes = classes

    def model(self, client_axis: bool = True) -> LinearModel:
        return LinearModel(self.features, self.classes, client_axis)

    def start(self) -> torch.Tensor:
        return torch.zeros(self.model().layout.size)

    def engine(self, client_axis=True, clients=None, store=None, kind=LocalEngine, **options):
        return kind(
            self.model(client_axis), self.labels, clients or self.clients, store or ClientStore(), **options
        )

    def run(self, plan, rounds=1, engine=None, seed=3, state=None):
        engine = engine or self.engine()
        state = state or plan.initial_state(self.start(), Streams(seed))
        counter, records = ByteCounter(), []
        for _ in range(rounds):
            state, record = run_round(state, plan, engine, counter)
            records.append(record)
        return state, records


@pytest.fixture
def world() -> World:
    return World()

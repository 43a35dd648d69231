"""What a run is made of once data and model are there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qfedfm.core.random import Streams
from qfedfm.experiment.config import Experiment

if TYPE_CHECKING:
    from qfedfm.data import FederatedData
    from qfedfm.experiment.personal import Personal
    from qfedfm.federation.engines.flower.engine import FlowerEngine
    from qfedfm.federation.engines.local import LocalEngine
    from qfedfm.federation.plan import Plan
    from qfedfm.federation.store import ClientStore
    from qfedfm.models import Model
    from qfedfm.models.adapted import AdaptedModel
    from qfedfm.models.frozen import FrozenModel


@dataclass(frozen=True)
class Parts:
    """What the rounds of a run work with.

    Args:
        experiment: All options, ``auto`` resolved.
        data: Texts, labels, and who holds them.
        model: What is trained.
        plan: What a round does.
        streams: The experiment's random streams.
        device: Where the model lies.
        run_id: What defines the run.
        store: What belongs to clients from round to round.
        engine: Who trains.
        personal: The clients' own models, where the method makes any.
        verify: Whether each round's certificate of exactness is checked by dense matrices.
    """

    experiment: Experiment
    data: FederatedData
    model: Model
    plan: Plan
    streams: Streams
    device: str
    run_id: str
    store: ClientStore
    engine: LocalEngine | FlowerEngine
    personal: Personal
    verify: bool = False


def make_plan(experiment: Experiment, data: FederatedData | None) -> Plan:
    """Returns the plan of a federation; refuses a cohort that is too large, or too small for a sum.

    Args:
        experiment: All options.
        data: Who holds what; None on the machine of a client, which knows only its own.
    """
    from qfedfm.federation.plan import Plan

    plan = Plan.of(
        experiment.federation,
        experiment.client,
        experiment.aggregation,
        experiment.stages,
        experiment.adapter(),
        experiment.security.sum,
    )
    if data is not None:
        plan.protocol.check(plan.cohort_size(len(data.clients)))
    return plan


def seeded(experiment: Experiment, model: FrozenModel | AdaptedModel, streams: Streams) -> Model:
    """Returns the model, or for a seeded method the model of coefficients around it."""
    from qfedfm.federation.algorithms import FedKSeed

    method = experiment.client.algorithm
    if not isinstance(method, FedKSeed):
        return model
    from qfedfm.core.seeds import SeedPool
    from qfedfm.models.seeded import SeededModel

    return SeededModel(model, SeedPool(streams.key("seed pool"), method.pool), method.layout.unit)


def make_engine(experiment: Experiment, data: FederatedData, model: Model, store: ClientStore) -> LocalEngine:
    """Returns the engine that trains the run's clients, or the one client of the central baseline."""
    import torch

    from qfedfm.federation.engines.central import Pooled
    from qfedfm.federation.engines.local import LocalEngine

    central = experiment.federation.engine == "central"
    clients = Pooled(data.clients) if central else data.clients
    labels = torch.from_numpy(np.asarray(data.labels)).to(experiment.device)
    return LocalEngine(model, labels, clients, store)

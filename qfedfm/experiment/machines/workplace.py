"""What a client on its own machine works with: data and model, and its part of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qfedfm.core.errors import RequestError
from qfedfm.core.random import Streams
from qfedfm.experiment.parts import make_plan
from qfedfm.federation.engines.flower.node import Workplace

if TYPE_CHECKING:
    from torch import Tensor

    from qfedfm.data import FederatedData
    from qfedfm.experiment.config import Experiment
    from qfedfm.models import Model

STORE = "client_store.sqlite"
EVERYBODY = 1 << 31


@dataclass(frozen=True)
class Joining:
    """How a client joins.

    Args:
        state: Where its state lies.
        data: Its own file; or
        partition: the number of a part of the experiment's data.
        keys: A key store that stands for its key manager, for channels on QKD.
    """

    state: Path
    data: Path | None = None
    partition: int | None = None
    keys: Path | None = None

    def __post_init__(self) -> None:
        if (self.data is None) == (self.partition is None):
            raise RequestError("a client joins with --data FILE, or with --partition NUMBER for a rehearsal")
        if self.data is not None and not self.data.is_file():
            raise RequestError(f"{self.data}: there is no such file; give the path of this client's data")


@dataclass(frozen=True)
class Material:
    """What a client's side is made of and does not change: data and model, the slow part of joining.

    Args:
        experiment: All options, ``auto`` resolved.
        data: This client's own, or in a rehearsal everybody's.
        model: What is trained.
        labels: The class of every sample, shape (samples,), on the model's device.
    """

    experiment: Experiment
    data: FederatedData
    model: Model
    labels: Tensor


class OneClient:
    """The data of the one client of this machine, under whatever number the server gives it.

    Args:
        index: Its training samples, shape (n,).
    """

    def __init__(self, index: np.ndarray) -> None:
        self._index = index

    @property
    def sizes(self) -> np.ndarray:
        """Training examples by client number; the same for each, since there is one client."""
        return np.broadcast_to(np.int64(len(self._index)), (EVERYBODY,))

    def train(self, client: int) -> np.ndarray:
        """Returns the training samples, ascending."""
        return self._index


def gathered(experiment: Experiment, label_names: tuple[str, ...], file: Path | None) -> Material:
    """Reads the data and builds the model.

    Args:
        experiment: All options, ``auto`` resolved by the server.
        label_names: The classes, as the server has them.
        file: This client's own data, or None for the experiment's.

    Raises:
        RequestError: The data do not fit the experiment.
    """
    import torch

    from qfedfm import models
    from qfedfm.experiment.running import resolve

    streams = Streams(experiment.seed)
    if experiment.device == "cuda" and not torch.cuda.is_available():
        experiment = experiment.model_copy(update={"device": "cpu"})
    experiment, device = resolve(experiment)
    data = _data(experiment, label_names, file, streams)
    model = models.build(
        experiment.model,
        data,
        max_length=experiment.data.max_length,
        device=device,
        streams=streams.at("model"),
    )
    return Material(experiment, data, model, torch.from_numpy(np.asarray(data.labels)).to(device))


def workplace_of(material: Material, joining: Joining, folder: Path) -> Workplace:
    """Returns what a client works with, of data and model that are there.

    Args:
        material: Data and model.
        joining: Whose part of the data.
        folder: Where its state lies.

    Raises:
        RequestError: The data have no such part.
    """
    from qfedfm.federation.engines.local import LocalEngine
    from qfedfm.federation.store import ClientStore

    experiment, clients = material.experiment, material.data.clients
    part = joining.partition if joining.data is None else 0
    assert part is not None
    if part >= len(clients):
        raise RequestError(f"--partition is {part}, and data.partition makes {len(clients)}, from 0")
    index = np.asarray(clients.train(part))
    store = ClientStore(folder / STORE)
    return Workplace(
        plan=make_plan(experiment, material.data if joining.data is None else None),
        engine=LocalEngine(material.model, material.labels, OneClient(index), store),
        store=store,
        initial=material.model.initial().to(material.labels.device),
        examples=len(index),
        partition=joining.partition,
        channel=experiment.security.channel,
        streams=Streams(experiment.seed),
    )


def _data(
    experiment: Experiment, label_names: tuple[str, ...], file: Path | None, streams: Streams
) -> FederatedData:
    """Returns the data that this client reads: its own file, or the experiment's."""
    from qfedfm.data import MachinesPartition, load, own_data

    machines = isinstance(experiment.data.partition, MachinesPartition)
    if file is not None:
        if not machines:
            raise RequestError(
                f"this experiment rehearses with data.partition {experiment.data.partition.kind}; join with "
                "--partition NUMBER, or set data.partition to {kind: machines, clients: ...}"
            )
        return own_data(experiment.data, file, label_names)
    if machines:
        raise RequestError("in this experiment each client has its own data; join with --data FILE")
    data = load(experiment.data, streams.at("data"))
    if data.label_names != label_names:
        raise RequestError("the data on this machine have other classes than the server's")
    return data

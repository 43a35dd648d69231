"""A client that joins: it learns the experiment from the server's first message and builds its side of it.

Its data is a file that its own command line names, or a numbered part of the experiment's data for a
rehearsal. The server can name neither. State lies in a folder of its own for each experiment, so keys and
variates of one never meet another.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qfedfm.core.errors import QfedfmError, RequestError, UpdateRefusedError
from qfedfm.core.files import write_atomic
from qfedfm.core.random import Streams
from qfedfm.experiment.machines.server import key_of, read_invitation
from qfedfm.experiment.parts import make_plan
from qfedfm.federation.engines.flower.node import Node, Workplace
from qfedfm.federation.engines.flower.sealing import SERVER, Fetch
from qfedfm.federation.engines.flower.wire import HELLO, REFUSED, Envelope, parse

if TYPE_CHECKING:
    from qfedfm.data import FederatedData
    from qfedfm.experiment.config import Experiment

INVITATION, CURRENT, STORE = "invitation.json", "current.json", "client_store.sqlite"
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


class Member:
    """Answers a server's messages, from the first one on.

    Args:
        joining: How it joins.
        say: Told what happens, one sentence each.
    """

    def __init__(self, joining: Joining, say: Callable[[str], None] | None = None) -> None:
        self._joining = joining
        self._say = say or (lambda sentence: None)
        self._node: Node | None = None
        self._key = ""

    @property
    def training_seconds(self) -> float:
        """Seconds of local training in the last reply."""
        return self._node.training_seconds if self._node is not None else 0.0

    def answer(self, message: bytes) -> bytes:
        """Returns the reply to ``message``; what cannot be served is refused in one sentence."""
        token = ""
        try:
            request = parse(message)
            token = request.token
            if request.kind == HELLO:
                self._meet(request.fields)
            elif self._node is None:
                self._remember()
        except QfedfmError as error:
            self._say(f"refused: {error}")
            return Envelope(REFUSED, token, {"reason": str(error)}).to_bytes()
        assert self._node is not None
        return self._node.answer(message)

    def _meet(self, fields: Any) -> None:
        """Takes an invitation and makes it the current one."""
        key = key_of(dict(fields))
        if self._node is not None and self._key == key:
            return
        experiment, label_names = read_invitation(fields)
        folder = self._joining.state / key
        write_atomic(folder / INVITATION, json.dumps(dict(fields)))
        write_atomic(self._joining.state / CURRENT, json.dumps({"key": key}))
        self._open(experiment, label_names, folder, key)

    def _remember(self) -> None:
        """Goes on with the experiment that this client joined before it was restarted."""
        current = self._joining.state / CURRENT
        if not current.exists():
            raise UpdateRefusedError("this client has not been told the experiment yet")
        key = json.loads(current.read_text())["key"]
        folder = self._joining.state / key
        self._open(*read_invitation(json.loads((folder / INVITATION).read_text())), folder, key)

    def _open(self, experiment: Experiment, label_names: tuple[str, ...], folder: Path, key: str) -> None:
        self._say(f"joining experiment {experiment.name!r} ({experiment.federation.rounds} rounds)")
        work = workplace(experiment, label_names, self._joining, folder)
        self._node, self._key = Node(work, folder, self._fetch(), self._say), key

    def _fetch(self) -> Fetch | None:
        if self._joining.keys is None:
            return None
        from qfedfm.security.qkd.store import KeyStore

        store = KeyStore(self._joining.keys)
        return lambda client, key_id: store.fetch(SERVER, client, [key_id])[0].key


def workplace(
    experiment: Experiment, label_names: tuple[str, ...], joining: Joining, folder: Path
) -> Workplace:
    """Returns what a client of ``experiment`` works with.

    Args:
        experiment: All options, ``auto`` resolved by the server.
        label_names: The classes, as the server has them.
        joining: Whose data.
        folder: Where its state lies.

    Raises:
        RequestError: Its data do not fit the experiment.
    """
    import torch

    from qfedfm import models
    from qfedfm.experiment.running import resolve
    from qfedfm.federation.engines.local import LocalEngine
    from qfedfm.federation.store import ClientStore

    streams = Streams(experiment.seed)
    if experiment.device == "cuda" and not torch.cuda.is_available():
        experiment = experiment.model_copy(update={"device": "cpu"})
    experiment, device = resolve(experiment)
    data, index = _data(experiment, label_names, joining, streams)
    model = models.build(
        experiment.model,
        data,
        max_length=experiment.data.max_length,
        device=device,
        streams=streams.at("model"),
    )
    store = ClientStore(folder / STORE)
    labels = torch.from_numpy(np.asarray(data.labels)).to(device)
    return Workplace(
        plan=make_plan(experiment, data if joining.data is None else None),
        engine=LocalEngine(model, labels, OneClient(index), store),
        store=store,
        initial=model.initial().to(device),
        examples=len(index),
        partition=joining.partition,
        channel=experiment.security.channel,
        streams=streams,
    )


def _data(
    experiment: Experiment, label_names: tuple[str, ...], joining: Joining, streams: Streams
) -> tuple[FederatedData, np.ndarray]:
    """Returns the data that this client reads, and which samples of it are its own."""
    from qfedfm.data import MachinesPartition, load, own_data

    machines = isinstance(experiment.data.partition, MachinesPartition)
    if joining.data is not None:
        if not machines:
            raise RequestError(
                f"this experiment rehearses with data.partition {experiment.data.partition.kind}; join with "
                "--partition NUMBER, or set data.partition to {kind: machines, clients: ...}"
            )
        found = own_data(experiment.data, joining.data, label_names)
        return found, found.clients.train(0)
    if machines:
        raise RequestError("in this experiment each client has its own data; join with --data FILE")
    data = load(experiment.data, streams.at("data"))
    assert joining.partition is not None
    if joining.partition >= len(data.clients):
        raise RequestError(
            f"--partition is {joining.partition}, and data.partition makes {len(data.clients)}, from 0"
        )
    if data.label_names != label_names:
        raise RequestError("the data on this machine have other classes than the server's")
    return data, np.asarray(data.clients.train(joining.partition))

"""The server's engine for clients on other machines."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from qfedfm.core.errors import RequestError
from qfedfm.core.random import Streams
from qfedfm.federation.engines.flower.engine import FlowerEngine
from qfedfm.federation.engines.flower.sealing import identity_in
from qfedfm.federation.engines.flower.server_end import ServerEnd
from qfedfm.security.channel.config import QUANTUM

if TYPE_CHECKING:
    from qfedfm.data import FederatedData
    from qfedfm.experiment.config import Experiment
    from qfedfm.experiment.folder import RunFolder
    from qfedfm.federation.engines.flower.transport import Transport
    from qfedfm.models import Model

ROSTER, IDENTITY, KEYS = "clients-joined.json", "identity", "qkd-keys.sqlite"


def invitation(experiment: Experiment, data: FederatedData) -> dict[str, Any]:
    """Returns what a client must know to take part: the options and the names of the classes."""
    return {"experiment": experiment.plain(), "label_names": list(data.label_names)}


def flower_engine(
    experiment: Experiment,
    data: FederatedData,
    model: Model,
    folder: RunFolder,
    transport: Transport,
    say: Callable[[str], None],
) -> FlowerEngine:
    """Returns the engine that trains clients over ``transport``."""
    streams, config = Streams(experiment.seed), experiment.security.channel
    channel = None
    if config.kind != "none":
        store = None
        if config.kind in QUANTUM:
            from qfedfm.security.qkd.store import KeyStore, Limits

            store = KeyStore(folder.path / KEYS, Limits(max_key_count=1 << 40))
        identity = identity_in(folder.path / IDENTITY, config.identity)
        channel = ServerEnd(config, streams.at("channel"), identity, store)
    return FlowerEngine(
        transport,
        model.layout,
        len(data.clients),
        experiment.federation.flower,
        channel=channel,
        protocol=experiment.security.sum,
        streams=streams,
        roster=folder.path / ROSTER,
        invitation=invitation(experiment, data),
        say=say,
    )


def read_invitation(fields: Mapping[str, Any]) -> tuple[Experiment, tuple[str, ...]]:
    """Returns the experiment and the class names in an invitation.

    Raises:
        RequestError: It is none.
    """
    from qfedfm.experiment.loading import experiment

    content, names = fields.get("experiment"), fields.get("label_names")
    if (
        not isinstance(content, dict)
        or not isinstance(names, list)
        or not all(isinstance(n, str) for n in names)
    ):
        raise RequestError("the server sent no experiment")
    return experiment(content, source="the server's experiment"), tuple(names)


def key_of(content: Mapping[str, Any]) -> str:
    """Returns a name for the experiment's state on a client: 16 hexadecimal digits."""
    import hashlib

    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

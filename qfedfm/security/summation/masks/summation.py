"""Masks in use: identities, links, and both kinds of ends."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qfedfm.core.random import Streams
from qfedfm.security.channel.agreement import Identity
from qfedfm.security.summation.masks.agreements import AGREEMENTS, Party, UsedOnce
from qfedfm.security.summation.masks.client import MaskClient, Setting
from qfedfm.security.summation.masks.config import Masks
from qfedfm.security.summation.masks.graph import neighbours
from qfedfm.security.summation.masks.integers import Integers, message_bytes
from qfedfm.security.summation.masks.links import PairLinks
from qfedfm.security.summation.masks.server import MaskServer
from qfedfm.security.summation.protocol import (
    Job,
    SumAbortedError,
    SumClient,
    Summation,
    SumServer,
    check_finite,
)

PAIR_BITS = 256
"""QKD key bits of a pair and round, beside pads."""


class MaskSummation(Summation):
    """Identities, links, and the record of keys that were used.

    Args:
        options: The options.
        streams: Randomness of rounding and of the graph.
        last: The links' levels, where a run is resumed.
    """

    def __init__(self, options: Masks, streams: Streams, last: Mapping[str, Any] | None = None) -> None:
        self._options = options
        self._streams = streams
        self._identities: dict[int, Identity] = {}
        self._used = UsedOnce()
        self._links = PairLinks(options.link, streams, last) if options.keys == "qkd" else None

    def setting(self, job: Job) -> Setting:
        """Returns what all parties of ``job`` know."""
        options, count = self._options, len(job.clients)
        if count < 2:
            raise SumAbortedError(f"{count} client is there, and its sum would be its update")
        coins = self._streams("graph", job.round)
        return Setting(
            job,
            neighbours(job.clients, options.neighbours, coins),
            Integers(options.bits, count, options.bound),
            job.needed(options.threshold),
            options.threshold,
            options.masks == "pads",
            options.phases,
        )

    def server(self, job: Job) -> SumServer:
        """Returns the server's end; with QKD keys the round waits here until links hold enough."""
        setting, bits = self.setting(job), 0
        if self._links is not None:
            bits = PAIR_BITS
            if setting.pads:
                bits += 8 * message_bytes(job.size, self._options.bits)
            pairs = {(u, v) for u, peers in setting.graph.items() for v in peers if u < v}
            self._links.begin_round(pairs, bits, job.round)
        return MaskServer(setting, bits)

    def client(self, job: Job, client: int, update: NDArray[np.float32] | None) -> SumClient:
        """Returns a client's end; its numbers are encoded when they are sent."""
        setting, encode = self.setting(job), None
        if update is not None:
            check_finite(update)
            rng = self._streams("rounding", job.round, client)
            encode = partial(setting.integers.encode, update, job.weights[client], rng)
        directory = {peer: self._identity(peer).public for peer in job.clients}
        party = Party(
            client, job.round, setting.graph[client], self._identity(client), directory, self._links
        )
        agreement = AGREEMENTS[self._options.keys](party)
        return MaskClient(client, setting, agreement, self._used, encode)

    def introduce(self, identities: Mapping[int, Identity]) -> None:
        """Makes these the clients' identities, for ends on machines of their own.

        Args:
            identities: Per client its signing key, where it is this machine's, or the public half.
        """
        self._identities.update(identities)

    def record(self, round_number: int) -> dict[str, Any]:
        """Returns key bits, waiting and levels of QKD links; nothing for other keys."""
        return self._links.record(round_number) if self._links is not None else {}

    def close(self) -> None:
        """Removes the key store."""
        if self._links is not None:
            self._links.close()

    def _identity(self, client: int) -> Identity:
        if client not in self._identities:
            self._identities[client] = Identity(self._options.identity)
        return self._identities[client]

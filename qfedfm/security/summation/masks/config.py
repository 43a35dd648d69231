"""The options of pairwise masks, and what they promise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from qfedfm.core.errors import RequestError
from qfedfm.core.random import Streams
from qfedfm.security.channel.agreement import Identity
from qfedfm.security.summation.masks.agreements import AGREEMENTS, Party, UsedOnce
from qfedfm.security.summation.masks.client import MaskClient, Setting, needed
from qfedfm.security.summation.masks.graph import neighbours
from qfedfm.security.summation.masks.integers import Integers, message_bytes
from qfedfm.security.summation.masks.links import PairLink, PairLinks
from qfedfm.security.summation.masks.server import MaskServer
from qfedfm.security.summation.protocol import (
    Job,
    Promise,
    SumAbortedError,
    SumClient,
    Summation,
    SumProtocol,
    SumServer,
)

PAIR_BITS = 256
_RESTS = {
    "x25519": "elliptic curves (not against a quantum computer)",
    "ml-kem": "module lattices",
    "qkd": "the clients' QKD links and their authentication",
}


class Masks(SumProtocol):
    """Pairwise masks, mod 2^bits.

    Args:
        keys: Where pairs of clients get their keys: ``x25519``, ``ml-kem`` (ML-KEM-768), or ``qkd`` (a link
            between each pair).
        masks: ``aes-ctr`` (a keystream of a 256-bit key), or ``pads`` (one-time pads: b·d true key bits for
            each pair and round; keys qkd).
        bits: b; a number travels as so many bits.
        bound: Largest absolute number of an update; larger ones are clipped and counted.
        threshold: The part of a round's clients that must survive, more than a half: then a server that
            lies about who vanished cannot have both secrets of one client.
        neighbours: Each client masks with so many others (even) on a random ring; null for all others.
        identity: Signatures of key agreements.
        link: The QKD link of each pair.
    """

    kind: Literal["masks"] = "masks"
    keys: Literal["x25519", "ml-kem", "qkd"] = "x25519"
    masks: Literal["aes-ctr", "pads"] = "aes-ctr"
    bits: Literal[16, 24, 32] = 24
    bound: Annotated[float, Field(gt=0)] = 1.0
    threshold: Annotated[float, Field(gt=0.5, le=1)] = 0.6
    neighbours: Annotated[int, Field(ge=2, multiple_of=2)] | None = None
    identity: Literal["ed25519", "ml-dsa"] = "ed25519"
    link: PairLink = PairLink()

    contributes: ClassVar[str] = "inputs"

    @model_validator(mode="after")
    def _sound(self) -> Masks:
        if self.masks == "pads" and self.keys != "qkd":
            raise RequestError(
                f"security.sum.masks is pads but keys is {self.keys}: a one-time pad needs one key bit for "
                "each bit, which only keys qkd gives; use aes-ctr"
            )
        if self.keys != "qkd" and self.link != PairLink():
            raise RequestError(
                f"security.sum.link describes QKD links, but keys is {self.keys}; use keys qkd, or leave "
                "link out"
            )
        return self

    @property
    def phases(self) -> tuple[str, ...]:
        """The key agreement's phases, then shares, masked inputs, unmasking."""
        return (*AGREEMENTS[self.keys].phases, "shares", "inputs", "unmasking")

    @property
    def promise(self) -> Promise:
        """The threat model."""
        against = f"the server and fewer than {self.threshold:.0%} of the clients together"
        if self.masks == "pads":
            rests = f"{_RESTS['qkd']} alone, and on AES-256 too against a server that lies"
        else:
            rests = f"{_RESTS[self.keys]} and AES-256"
        if self.neighbours is not None:
            against = f"the server and fewer than {self.threshold:.0%} of a client's neighbours together"
        lies = (
            "can stop a round; it can lie about who vanished, but gains nothing without clients on its "
            "side: each gives shares of one of another's two secrets, and either needs more than half"
        )
        return Promise(
            hides_from=f"{against}; rests on {rests}",
            malicious_server=lies,
            trusted="clients, to encode what they have: nobody can check their numbers",
            server_sees="who is there, numbers of examples, and the sum",
            exactness=f"the integer sum bit for bit; rounding to steps of bound/2^{self.bits - 1}",
        )

    def check(self, clients: int) -> None:
        """Refuses sums over one client, too few bits, and more neighbours than there are."""
        if clients < 2:
            raise RequestError(
                "security.sum masks over one client a round would be that client's update; use "
                "federation.cohort 2 or more"
            )
        Integers(self.bits, clients, self.bound)
        if self.neighbours is not None and self.neighbours >= clients:
            raise RequestError(
                f"security.sum.neighbours is {self.neighbours}, but a round has {clients} clients; use an "
                f"even number below {clients}, or null for all"
            )

    def open(self, streams: Streams, last: Mapping[str, Any] | None = None) -> MaskSummation:
        """Returns the protocol in use."""
        return MaskSummation(self, streams, last)


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
            needed(options.threshold, count),
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
        """Returns a client's end; its numbers are encoded here."""
        setting = self.setting(job)
        words, clipped = None, 0
        if update is not None:
            rng = self._streams("rounding", job.round, client)
            words, clipped = setting.integers.encode(update, job.weights[client], rng)
        directory = {peer: self._identity(peer).public for peer in job.clients}
        party = Party(
            client, job.round, setting.graph[client], self._identity(client), directory, self._links
        )
        agreement = AGREEMENTS[self._options.keys](party)
        return MaskClient(client, setting, agreement, self._used, words, clipped)

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

"""The options of pairwise masks, and what they promise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from qfedfm.core.config import Config
from qfedfm.core.errors import RequestError
from qfedfm.core.random import Streams
from qfedfm.security.qkd.rates.presets import preset
from qfedfm.security.summation.masks.integers import Integers
from qfedfm.security.summation.protocol import Promise, SumProtocol

if TYPE_CHECKING:
    from qfedfm.security.summation.masks.summation import MaskSummation

_RESTS = {
    "x25519": "elliptic curves (not against a quantum computer)",
    "ml-kem": "module lattices",
    "qkd": "the clients' QKD links and their authentication",
}


class PairLink(Config):
    """The link of each pair of clients.

    Args:
        preset: The link, by name.
        distance_km: Its length.
        block: Raw key bits of the session that measures the link.
        round_seconds: Simulated duration of a round, during which links go on making key.
        pool_bits: Most key bits that a link stores.
        on_shortage: Whether a round waits for links that hold too little, or the run is aborted.
    """

    preset: str = "metropolitan"
    distance_km: Annotated[float, Field(ge=0)] = 25.0
    block: Annotated[int, Field(ge=10_000, le=5_000_000)] = 200_000
    round_seconds: Annotated[float, Field(ge=0)] = 1.0
    pool_bits: Annotated[int, Field(ge=256)] = 1 << 27
    on_shortage: Literal["wait", "abort"] = "wait"

    @field_validator("preset")
    @classmethod
    def _known(cls, value: str) -> str:
        preset(value)
        return value


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
        """The key agreement's phases, then shares, masked inputs, consistency, unmasking."""
        agreement = ("keys", "encapsulations") if self.keys == "ml-kem" else ("keys",)
        return (*agreement, "shares", "inputs", "consistency", "unmasking")

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
            "can stop a round; if it lies about who vanished, clients see it: more than half sign who is in "
            "the sum before one unmasks it, and each tells shares of one of another's two secrets only"
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
        from qfedfm.security.summation.masks.summation import MaskSummation

        return MaskSummation(self, streams, last)

"""The options of a federation's channel: ``security: {channel: {...}}`` in the experiment file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from qfedfm.core.config import Config
from qfedfm.core.errors import RequestError
from qfedfm.security.qkd.link.eve import Eve, NoEve
from qfedfm.security.qkd.rates.presets import preset

QUANTUM = ("qkd", "hybrid")
"""Kinds that need a QKD link."""


class ChannelConfig(Config):
    """How updates (and broadcasts) travel between each client and the server.

    Args:
        kind: ``none``; ``qkd`` (keys from a simulated link); ``ml-kem`` (ML-KEM-768) or ``x25519`` (a fresh,
            signed key agreement each round); ``hybrid`` (QKD and ML-KEM-768 through HKDF: secure if one is).
        cipher: ``aes-gcm`` (256 bit), or ``otp``: a one-time pad with a one-time Poly1305 key (kind qkd).
        identity: Signatures of key agreements.
        directions: What is sealed: uploads alone, or broadcasts too.
        preset: The link, by name.
        distance_km: Length of every client's link.
        block: Raw key bits of the session that measures the link.
        eve: Who is on the links.
        eve_from_round: In which round (from 1) Eve begins.
        on_shortage: What happens when a link holds too little key, or none because of Eve: ``wait`` for the
            link (an eavesdropper stops the run), ``abort`` the run, or ``fallback`` to ML-KEM-768, recorded.
        round_seconds: Simulated duration of a round's training, during which links go on making key.
        pool_bits: Most key bits that a link stores.
    """

    kind: Literal["none", "qkd", "ml-kem", "x25519", "hybrid"] = "none"
    cipher: Literal["aes-gcm", "otp"] = "aes-gcm"
    identity: Literal["ed25519", "ml-dsa"] = "ed25519"
    directions: Literal["both", "upload"] = "both"
    preset: str = "metropolitan"
    distance_km: Annotated[float, Field(ge=0)] = 25.0
    block: Annotated[int, Field(ge=10_000, le=5_000_000)] = 200_000
    eve: Eve = NoEve()
    eve_from_round: Annotated[int, Field(ge=1)] = 1
    on_shortage: Literal["wait", "abort", "fallback"] = "wait"
    round_seconds: Annotated[float, Field(ge=0)] = 1.0
    pool_bits: Annotated[int, Field(ge=256)] = 1 << 27

    @field_validator("preset")
    @classmethod
    def _known(cls, value: str) -> str:
        preset(value)
        return value

    @model_validator(mode="after")
    def _sound(self) -> ChannelConfig:
        if self.cipher == "otp" and self.kind != "qkd":
            raise RequestError(
                f"security.channel.cipher is otp but kind is {self.kind}: a one-time pad needs one key bit "
                "for each bit, which only kind qkd gives; use aes-gcm"
            )
        if self.eve.kind != "none" and self.kind not in QUANTUM:
            raise RequestError(
                f"security.channel.eve listens on a quantum link, but kind is {self.kind}; "
                "use kind qkd or hybrid"
            )
        return self

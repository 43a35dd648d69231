"""The options of a federation's channel: ``security: {channel: {...}}`` in the experiment file."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from qfedfm.core.config import Config
from qfedfm.core.errors import RequestError
from qfedfm.security.qkd.link.eve import Eve, NoEve
from qfedfm.security.qkd.rates.presets import preset

QUANTUM = ("qkd", "hybrid")
"""Kinds that need a QKD link."""
SIMULATED = ("preset", "distance_km", "block", "eve", "eve_from_round", "round_seconds", "pool_bits")
"""Options that mean something for simulated links alone."""


class KeyManagerConfig(Config):
    """A key manager that hands out the keys of real links, by ETSI GS QKD 014 over mutual TLS.

    Both ends of a federation run in one process, so it needs the certificates of both: ``{sae}`` in a path or
    in the URL stands for the name of who asks. Paths alone are written here, never a key.

    Args:
        url: ``https://host:port``.
        certificate: PEM file of the application; its common name is the SAE id.
        key: PEM file of its private key.
        authority: PEM file of the authority that signed the key manager's certificate.
        server: The server's SAE id.
        client: A client's SAE id; ``{client}`` stands for its number. Without it all clients share one link.
        patience: Seconds for which an empty key manager is asked again where ``on_shortage`` is ``wait``.
    """

    url: str
    certificate: str
    key: str
    authority: str
    server: str = "server"
    client: str = "client-{client}"
    patience: Annotated[float, Field(ge=0, le=86400)] = 60.0

    def name_of(self, client: int) -> str:
        """Returns the client's SAE id."""
        return self.client.replace("{client}", str(client))

    @model_validator(mode="after")
    def _both_ends(self) -> KeyManagerConfig:
        parts = urlsplit(self.url)
        if parts.scheme != "https" or not parts.hostname:
            raise RequestError(
                f"security.channel.key_manager.url is {self.url!r}; it begins with https:// and names a host"
            )
        for name in ("certificate", "key"):
            if "{sae}" not in getattr(self, name):
                raise RequestError(
                    f"security.channel.key_manager.{name} is {getattr(self, name)!r}, but the server and "
                    "each client have one of their own; write {sae} for the name, for example certs/{sae}.pem"
                )
        if self.server == self.client:
            raise RequestError(
                "security.channel.key_manager: server and client are one name; a link needs two"
            )
        return self


class ChannelConfig(Config):
    """How updates (and broadcasts) travel between each client and the server.

    Args:
        kind: ``none``; ``qkd`` (keys from a simulated link, or from ``key_manager``); ``ml-kem`` (ML-KEM-768)
            or ``x25519`` (a fresh, signed key agreement each round); ``hybrid`` (QKD and ML-KEM-768 through
            HKDF: secure if one is).
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
        key_manager: Where keys come from in place of simulated links.
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
    key_manager: KeyManagerConfig | None = None

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
        if self.key_manager is not None:
            if self.kind not in QUANTUM:
                raise RequestError(
                    f"security.channel.key_manager gives quantum keys, but kind is {self.kind}; "
                    "use kind qkd or hybrid"
                )
            for name in SIMULATED:
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise RequestError(
                        f"security.channel.{name} describes a simulated link, but key_manager names a real "
                        "one; leave one of them out"
                    )
        return self

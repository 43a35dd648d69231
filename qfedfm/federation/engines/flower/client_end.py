"""A client's end of its channel: it has only its own half of an agreement, on its disk until it is used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from qfedfm.core.errors import UpdateRefusedError
from qfedfm.federation.engines.flower.sealing import (
    SERVER,
    Fetch,
    half,
    name_of,
    offered_kinds,
    write_secret,
)
from qfedfm.security.channel.agreement import EXCHANGES, Half, Identity, PublicIdentity, conclude, offer
from qfedfm.security.channel.config import ChannelConfig
from qfedfm.security.channel.sealed import AesGcm, Context, Opener, Sealer


class ClientEnd:
    """A client's end of its channel.

    Args:
        config: The options.
        client: Its number.
        identity: Its signing key.
        server: The server's public signing key.
        folder: Where private keys of agreements in flight lie, each until it is used.
        fetch: Its key manager; needed where the channel draws on QKD.
    """

    def __init__(
        self,
        config: ChannelConfig,
        client: int,
        identity: Identity,
        server: PublicIdentity,
        folder: Path,
        fetch: Fetch | None = None,
    ) -> None:
        self._config = config
        self._name = name_of(client)
        self._identity = identity
        self._server = server
        self._folder = folder
        self._fetch = fetch

    def offers(self, round_number: int, kinds: Iterable[str]) -> dict[str, Half]:
        """Returns fresh, signed public keys; what was in flight before is forgotten."""
        for old in self._folder.glob("exchange-*.key"):
            old.unlink()
        made = {}
        for kind in kinds:
            exchange = EXCHANGES[kind]()
            made[kind] = offer(kind, round_number, self._name, exchange, self._identity)
            content = len(made[kind].signature).to_bytes(4, "big") + made[kind].signature + exchange.secret()
            write_secret(self._path(round_number, kind), content)
        return made

    def keys(self, round_number: int, header: Mapping[str, Any]) -> ClientKeys:
        """Returns the round's keys from what the server says; each can be had once.

        Raises:
            UpdateRefusedError: The server's half is malformed, or answers no agreement in flight.
            ChannelError: The server's signature does not fit.
            KeyStoreError: The key manager does not give the key (again).
        """
        both = self._config.directions == "both"
        names = header.get("keys")
        needed = ("upload", "download") if both else ("upload",)
        if not isinstance(names, dict) or not all(isinstance(names.get(name), str) for name in needed):
            raise UpdateRefusedError("the server names no keys")
        kind = header.get("agreement")
        if kind is None:
            if self._config.kind != "qkd":
                raise UpdateRefusedError(f"the server names keys of no {self._config.kind} agreement")
            down = self._quantum(names["download"]) if both else b""
            return ClientKeys(self._name, names, self._quantum(names["upload"]), down)
        allowed = offered_kinds(self._config)
        if kind not in allowed:
            raise UpdateRefusedError(f"the server answers an agreement {kind!r} that this experiment has not")
        path = self._path(round_number, kind)
        if not path.exists():
            raise UpdateRefusedError(f"it has no key agreement of round {round_number + 1} in flight")
        content = path.read_bytes()
        path.unlink()
        size = int.from_bytes(content[:4], "big")
        exchange = EXCHANGES[kind](content[4 + size :])
        mine = Half(exchange.public, content[4 : 4 + size])
        quantum = self._quantum(str(header.get("quantum"))) if kind == "hybrid" else b""
        reply = half(header.get("answer"))
        agreed = conclude(kind, round_number, self._name, exchange, mine, reply, self._server.public, quantum)
        if set(names.values()) != {agreed.key_id}:
            raise UpdateRefusedError("the key agreement did not end with one key")
        down = agreed.download if both else b""
        return ClientKeys(self._name, names, agreed.upload, down)

    def _path(self, round_number: int, kind: str) -> Path:
        return self._folder / f"exchange-{round_number}-{kind}.key"

    def _quantum(self, key_id: str) -> bytes:
        if self._fetch is None:
            raise UpdateRefusedError(
                "the channel draws on a QKD link and this client was given no key manager; join with --keys"
            )
        return self._fetch(self._name, key_id)


class ClientKeys:
    """A client's keys of one round; each seals or opens one message.

    Args:
        name: The client's name.
        names: Key id per direction.
        upload: Seals the reply.
        download: Opens the broadcast; empty where broadcasts are not sealed.
    """

    def __init__(self, name: str, names: Mapping[str, str], upload: bytes, download: bytes) -> None:
        self._name, self._names = name, names
        self._sealer = Sealer(AesGcm(upload))
        self._opener = Opener(AesGcm(download)) if download else None

    def open(self, round_number: int, schema: str, sealed: bytes) -> bytes:
        """Returns the broadcast.

        Raises:
            ChannelError: It is not what the server sealed for this client and round.
        """
        if self._opener is None:
            return sealed
        context = Context(round_number, SERVER, self._name, schema, self._names["download"])
        return self._opener.open(sealed, context)

    def seal(self, round_number: int, schema: str, message: bytes) -> bytes:
        """Returns the reply as it travels."""
        context = Context(round_number, self._name, SERVER, schema, self._names["upload"])
        return self._sealer.seal(message, context)

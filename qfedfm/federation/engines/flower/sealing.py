"""The channel between two machines: each end has only its own half of an agreement.

QKD keys come from a key store that stands for the key managers at both ends of each link: the server draws a
key and names it in the message, the client fetches it by its name, once. What is simulated of the links
(rate, waiting, eavesdroppers) is :class:`qfedfm.security.channel.rounds.Channel`'s, unchanged.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from qfedfm.core.errors import UpdateRefusedError
from qfedfm.core.random import Streams
from qfedfm.security.channel.agreement import (
    EXCHANGES,
    Half,
    Identity,
    PublicIdentity,
    answer,
    conclude,
    offer,
)
from qfedfm.security.channel.config import QUANTUM, ChannelConfig
from qfedfm.security.channel.errors import IdentityError
from qfedfm.security.channel.links import SimulatedLinks
from qfedfm.security.channel.rounds import FALLBACK, Channel
from qfedfm.security.channel.sealed import AesGcm, Context, Opener, Sealer
from qfedfm.security.channel.sources import Drawn
from qfedfm.security.qkd.store import KeyStore

SERVER = "server"
Fetch = Callable[[str, str], bytes]
"""Returns the key of a name that the server drew for a client (its name first)."""


def name_of(client: int) -> str:
    """Returns a client's name in associated data and key stores."""
    return f"client-{client}"


def offered_kinds(config: ChannelConfig) -> tuple[str, ...]:
    """Returns the agreements for which a client sends a fresh public key before each round."""
    if config.kind == "none":
        return ()
    kinds = () if config.kind == "qkd" else (config.kind,)
    falls_back = config.kind in QUANTUM and config.on_shortage == "fallback"
    return (*kinds, FALLBACK) if falls_back else kinds


def identity_in(folder: Path, kind: Any) -> Identity:
    """Returns the signing key in ``folder``; it is made on first use, and its owner alone can read it."""
    path = folder / f"identity-{kind}.key"
    if not path.exists():
        write_secret(path, Identity(kind).secret())
    return Identity(kind, path.read_bytes())


def write_secret(path: Path, content: bytes) -> None:
    """Writes a file that its owner alone can read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(content)


def plain(half: Half) -> dict[str, str]:
    """Returns a half as JSON-ready text."""
    return {
        "content": base64.b64encode(half.content).decode(),
        "signature": base64.b64encode(half.signature).decode(),
    }


def half(fields: Any) -> Half:
    """Returns the half that :func:`plain` wrote.

    Raises:
        UpdateRefusedError: It is none.
    """
    try:
        return Half(*(base64.b64decode(fields[name], validate=True) for name in ("content", "signature")))
    except (KeyError, TypeError, binascii.Error) as error:
        raise UpdateRefusedError("a message of the key agreement is malformed") from error


class Deposited:
    """Simulated links whose keys a client fetches by their names: a :class:`KeySource` with a key store.

    Args:
        links: The links, which say how much key there is.
        store: Where the clients' key managers find their copies.
    """

    def __init__(self, links: SimulatedLinks, store: KeyStore) -> None:
        self._links = links
        self._store = store
        self.names: dict[int, str] = {}
        """Per client the name of the last key that was drawn."""

    def begin_round(self, round_number: int) -> None:
        """As :class:`SimulatedLinks`."""
        self._links.begin_round(round_number)

    def wait_for(self, needs: Mapping[int, int]) -> float:
        """As :class:`SimulatedLinks`."""
        return self._links.wait_for(needs)

    def draw(self, client: int, direction: str, bits: int, purpose: str, round_number: int) -> Drawn:
        """Draws a key from the link, and puts it where the client can fetch it, once."""
        key = self._links.draw(client, direction, bits, purpose, round_number)
        peer = name_of(client)
        self._store.add(SERVER, peer, key.server)
        stored = self._store.draw(SERVER, [peer], 1, bits)[0]
        self.names[client] = stored.key_id
        return Drawn(stored.key_id, stored.key, stored.key, announced=len(stored.key_id))

    def fill(self, clients: Iterable[int]) -> None:
        """As :class:`SimulatedLinks`."""
        self._links.fill(clients)

    def record(self) -> dict[str, Any]:
        """As :class:`SimulatedLinks`."""
        return self._links.record()


class ServerEnd(Channel):
    """The server's end of every client's channel.

    Args:
        config: The options.
        streams: The simulated links' randomness.
        identity: The server's signing key.
        store: Where the clients' key managers find keys of QKD links; needed for kinds qkd and hybrid.
    """

    def __init__(
        self, config: ChannelConfig, streams: Streams, identity: Identity, store: KeyStore | None = None
    ) -> None:
        super().__init__(config, streams)
        self._streams = streams
        self._server = identity
        self._store = store
        self._known: dict[int, PublicIdentity] = {}
        self._offers: Mapping[int, Mapping[str, Half]] = {}
        self._headers: dict[int, dict[str, Any]] = {}
        self.resume({})

    @property
    def public(self) -> bytes:
        """The server's public signing key, raw."""
        return bytes(self._server.public.public_bytes_raw())

    def resume(self, levels: Mapping[int, int]) -> None:
        """Takes over the links' levels, before the first round."""
        if self.config.kind in QUANTUM:
            assert self._store is not None
            links = SimulatedLinks(self.config, self._streams, self.ledger, levels)
            self._source = Deposited(links, self._store)

    def know(self, client: int, public: bytes) -> None:
        """Notes a client's public signing key."""
        self._known[client] = PublicIdentity(self.config.identity, public)

    def check_offer(self, client: int, round_number: int, offers: Mapping[str, Half]) -> None:
        """Refuses offers that the client did not sign, or that lack an agreement.

        Raises:
            UpdateRefusedError: One sentence.
        """
        from qfedfm.security.channel.agreement import check_signature, offered

        for kind in offered_kinds(self.config):
            if kind not in offers:
                raise UpdateRefusedError(f"it sent no public key for {kind}")
            said = offered(kind, round_number, name_of(client), offers[kind].content)
            try:
                check_signature(self._known[client].public, offers[kind].signature, said, name_of(client))
                EXCHANGES[kind].answer(offers[kind].content)
            except (IdentityError, ValueError) as error:
                raise UpdateRefusedError(str(error) or f"its public key for {kind} is none") from error

    def open_round(
        self, round_number: int, clients: Sequence[int], offers: Mapping[int, Mapping[str, Half]]
    ) -> None:
        """Has both keys of each client, or ends the run.

        Args:
            round_number: The round, from 0.
            clients: Who is asked.
            offers: What they sent before, checked.

        Raises:
            ChannelError: As of :class:`Channel`.
        """
        self._offers, self._headers = offers, {client: {} for client in clients}
        none_yet = dict.fromkeys(clients, 0)  # how long messages are matters to one-time pads alone
        self.begin_round(round_number, none_yet)
        self.begin_uploads(round_number, none_yet)

    def header(self, client: int) -> dict[str, Any]:
        """Returns what the client must know to open and to seal: names of keys, the server's half."""
        return self._headers[client]

    def seal(self, client: int, round_number: int, schema: str, message: bytes) -> bytes:
        """Returns the broadcast as it travels."""
        if self.config.directions == "upload":
            return message
        ends = self._directions[client, "download"]
        context = Context(round_number, SERVER, name_of(client), schema, ends.key_id)
        sealed = ends.sealer.seal(message, context)
        self._round["channel_bytes"] += len(sealed) - len(message)
        return sealed

    def open(self, client: int, round_number: int, schema: str, sealed: bytes) -> bytes:
        """Returns the update that the client sealed.

        Raises:
            ChannelError: It is not what that client sealed in this round.
        """
        ends = self._directions[client, "upload"]
        context = Context(round_number, name_of(client), SERVER, schema, ends.key_id)
        message = ends.opener.open(sealed, context)
        self._round["channel_bytes"] += len(sealed) - len(message)
        return message

    def _place(self, client: int, direction: str, key_id: str, keys: tuple[bytes, bytes]) -> None:
        super()._place(client, direction, key_id, keys)
        self._headers[client].setdefault("keys", {})[direction] = key_id

    def _agree(
        self, kind: str, client: int, round_number: int, quantum: tuple[bytes, bytes] = (b"", b"")
    ) -> None:
        given, public = self._offers[client][kind], self._known[client].public
        agreed, reply = answer(kind, round_number, name_of(client), given, public, self._server, quantum[1])
        self._round["channel_bytes"] += agreed.bytes
        header: dict[str, Any] = {"agreement": kind, "answer": plain(reply)}
        if kind == "hybrid":
            assert isinstance(self._source, Deposited)
            header["quantum"] = self._source.names[client]
        self._headers[client] = header
        self._place(client, "upload", agreed.key_id, (agreed.upload, agreed.upload))
        self._place(client, "download", agreed.key_id, (agreed.download, agreed.download))


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

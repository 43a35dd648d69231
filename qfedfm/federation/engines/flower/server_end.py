"""The server's end of the channels to its clients' machines: it has only its own half of an agreement.

QKD keys come from a key store that stands for the key managers at both ends of each link: the server draws a
key and names it in the message, the client fetches it by its name, once. What is simulated of the links
(rate, waiting, eavesdroppers) is :class:`qfedfm.security.channel.rounds.Channel`'s, unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from qfedfm.core.errors import UpdateRefusedError
from qfedfm.core.random import Streams
from qfedfm.federation.engines.flower.sealing import SERVER, name_of, offered_kinds, plain
from qfedfm.security.channel.agreement import EXCHANGES, Half, Identity, PublicIdentity, answer
from qfedfm.security.channel.config import QUANTUM, ChannelConfig
from qfedfm.security.channel.errors import IdentityError
from qfedfm.security.channel.links import SimulatedLinks
from qfedfm.security.channel.rounds import Channel
from qfedfm.security.channel.sealed import Context
from qfedfm.security.channel.sources import Drawn
from qfedfm.security.qkd.store import KeyStore


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
        self._number = -1
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

        In a round that is open already, as when clients are asked again, the others' keys stay.

        Args:
            round_number: The round, from 0.
            clients: Who is asked.
            offers: What they sent before, checked.

        Raises:
            ChannelError: As of :class:`Channel`.
        """
        kept, before = ({}, {}) if round_number != self._number else (dict(self._directions), self._round)
        self._number = round_number
        self._offers, self._headers = offers, {client: {} for client in clients}
        none_yet = dict.fromkeys(clients, 0)  # how long messages are matters to one-time pads alone
        self.begin_round(round_number, none_yet)
        self.begin_uploads(round_number, none_yet)
        self._directions, self._round = kept | self._directions, {**before, **self._round}
        for name in ("key_wait_seconds", "channel_bytes"):
            self._round[name] += before.get(name, 0)

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

"""The channel of a federation: what a round calls with the bytes that travel."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qfedfm.core.random import Streams
from qfedfm.security.channel.agreement import Identity, agree
from qfedfm.security.channel.config import QUANTUM, ChannelConfig
from qfedfm.security.channel.errors import EavesdropperError, ShortageError
from qfedfm.security.channel.links import KeyPools, Measured, measure
from qfedfm.security.channel.sealed import AesGcm, Cipher, Context, OneTimePad, Opener, Sealer
from qfedfm.security.qkd import budget
from qfedfm.security.qkd.ledger import Ledger

_log = logging.getLogger(__name__)
FALLBACK = "ml-kem"


@dataclass
class _Direction:
    sealer: Sealer
    opener: Opener
    key_id: str


class Channel:
    """Seals every message of a federation, both ends of it in this process.

    Args:
        config: The options; kind ``none`` needs no channel.
        streams: The simulated link's randomness. Keys never come from here.
        levels: Key bits per client's link, where a run is resumed.
    """

    def __init__(
        self, config: ChannelConfig, streams: Streams, levels: Mapping[int, int] | None = None
    ) -> None:
        self.config = config
        self.ledger = Ledger()
        self._streams = streams
        self._levels = levels
        self._pools: KeyPools | None = None
        self._link: tuple[bool, Measured] | None = None
        self._server = Identity(config.identity)
        self._identities: dict[int, Identity] = {}
        self._directions: dict[tuple[int, str], _Direction] = {}
        self._round: dict[str, Any] = {}

    def begin_round(self, round_number: int, clients: Sequence[int], size: int) -> None:
        """Has a key for every broadcast of the round, or ends the run.

        Args:
            round_number: The round, from 0.
            clients: Who is asked.
            size: Bytes of the server's message to each.

        Raises:
            EavesdropperError: The links give no key because someone listens.
            ShortageError: Too little key, and the experiment says not to wait.
        """
        self._directions.clear()
        self._round = {"key_bits_used": 0, "key_wait_seconds": 0.0, "channel_bytes": 0}
        if self.config.kind in QUANTUM:
            directions = {"download": size} if self.config.directions == "both" else {}
            self._quantum(round_number, clients, directions)
        else:
            self._agree_all(self.config.kind, round_number, clients)

    def begin_uploads(self, round_number: int, clients: Sequence[int], size: int) -> None:
        """Lets the time of local training pass, then has a key for every upload, or ends the run.

        Args:
            round_number: The round, from 0.
            clients: Who has replied.
            size: Bytes of a client's message, the largest of them.

        Raises:
            ShortageError: As in :meth:`begin_round`.
        """
        if self._pools is not None:
            self._pools.fill(self.config.round_seconds, list(clients))
        if self.config.kind == "qkd" and "fallback" not in self._round:
            self._quantum(round_number, clients, {"upload": size})

    def download(self, client: int, round_number: int, schema: str, message: bytes) -> bytes:
        """Returns what the client opens of the server's ``message``."""
        if self.config.directions == "upload":
            return message
        return self._carry(client, "download", round_number, schema, message)

    def upload(self, client: int, round_number: int, schema: str, message: bytes) -> bytes:
        """Returns what the server opens of the client's ``message``."""
        return self._carry(client, "upload", round_number, schema, message)

    def end_round(self, round_number: int) -> dict[str, Any]:
        """Forgets the round's keys and returns what ``rounds.jsonl`` records."""
        self._directions.clear()
        record = {**self._round, "key_bits_used": self.ledger.bits(round_number)}
        if self._pools is not None:
            levels = self._pools.levels
            record["key_pool_bits"] = {str(client): levels[client] for client in sorted(levels)}
        if self._link is not None:
            record["link_qber"] = self._link[1].qber
            record["link_key_rate"] = self._link[1].rate
        return record

    def _quantum(self, round_number: int, clients: Sequence[int], sizes: Mapping[str, int]) -> None:
        """Draws keys for these directions, or falls back where the experiment says so."""
        try:
            pools = self._links(round_number)
            needs = {direction: self._need(size) for direction, size in sizes.items()}
            total = budget.AES_KEY_BITS if self.config.kind == "hybrid" else sum(needs.values())
            self._round["key_wait_seconds"] += pools.wait_for(
                dict.fromkeys(clients, total), self.config.on_shortage == "wait"
            )
        except (EavesdropperError, ShortageError) as error:
            if self.config.on_shortage != "fallback":
                raise
            _log.warning("round %d: %s; falling back to %s", round_number + 1, error, FALLBACK)
            self._round["fallback"] = str(error)
            self._agree_all(FALLBACK, round_number, clients)
            return
        for client in clients:
            if self.config.kind == "hybrid":  # one k_qkd enters the HKDF for both directions
                _, key = pools.draw(client, total, "hybrid", round_number)
                self._agree("hybrid", client, round_number, key)
                continue
            for direction, bits in needs.items():
                key_id, key = pools.draw(client, bits, f"{self.config.cipher} {direction}", round_number)
                self._place(client, direction, key_id, key)

    def _need(self, size: int) -> int:
        if self.config.cipher == "otp":
            return budget.one_time_pad_bits([size])
        return budget.aes_gcm_bits()

    def _agree_all(self, kind: str, round_number: int, clients: Sequence[int]) -> None:
        for client in clients:
            self._agree(kind, client, round_number)

    def _links(self, round_number: int) -> KeyPools:
        """Returns the links, measured anew when Eve begins to listen."""
        listened = self.config.eve.kind != "none" and round_number + 1 >= self.config.eve_from_round
        if self._link is None or self._link[0] != listened:
            found = measure(self.config, self._streams.at("link", int(listened)), listened)
            self._link = (listened, found)
            if self._pools is None:
                self._pools = KeyPools(
                    found.rate, self.config.pool_bits, self.ledger, found.bits, self._levels
                )
            self._pools.rate = found.rate
        measured = self._link[1]
        if measured.abort is not None:
            raise EavesdropperError(f"the QKD link gives no key: {measured.abort}")
        assert self._pools is not None
        return self._pools

    def _agree(self, kind: str, client: int, round_number: int, quantum: bytes = b"") -> None:
        identity = self._identities.setdefault(client, Identity(self.config.identity))
        agreed = agree(kind, round_number, f"client-{client}", identity, self._server, quantum)
        self._round["channel_bytes"] += agreed.bytes
        self._place(client, "upload", agreed.key_id, agreed.upload)
        self._place(client, "download", agreed.key_id, agreed.download)

    def _place(self, client: int, direction: str, key_id: str, key: bytes) -> None:
        ends: list[Cipher]
        if self.config.cipher == "otp" and self.config.kind == "qkd" and "fallback" not in self._round:
            pad = [(key[:-32], key[-32:])]
            ends = [OneTimePad(pad), OneTimePad(pad)]
        else:
            ends = [AesGcm(key), AesGcm(key)]
        self._directions[client, direction] = _Direction(Sealer(ends[0]), Opener(ends[1]), key_id)

    def _carry(self, client: int, direction: str, round_number: int, schema: str, message: bytes) -> bytes:
        ends = self._directions[client, direction]
        names = (f"client-{client}", "server")
        sender, receiver = names if direction == "upload" else names[::-1]
        context = Context(round_number, sender, receiver, schema, ends.key_id)
        sealed = ends.sealer.seal(message, context)
        self._round["channel_bytes"] += len(sealed) - len(message)
        return ends.opener.open(sealed, context)

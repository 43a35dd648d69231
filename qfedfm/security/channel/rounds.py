"""The channel of a federation: what a round calls with the bytes that travel."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from qfedfm.core.random import Streams
from qfedfm.security.channel.agreement import Identity, agree
from qfedfm.security.channel.config import QUANTUM, ChannelConfig
from qfedfm.security.channel.errors import EavesdropperError, ShortageError
from qfedfm.security.channel.links import SimulatedLinks
from qfedfm.security.channel.managed import ManagedLinks
from qfedfm.security.channel.sealed import AesGcm, Cipher, Context, OneTimePad, Opener, Sealer
from qfedfm.security.channel.sources import KeySource
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
        levels: Key bits per client's simulated link, where a run is resumed.

    Raises:
        RequestError: A certificate of the key manager's cannot be used.
    """

    def __init__(
        self, config: ChannelConfig, streams: Streams, levels: Mapping[int, int] | None = None
    ) -> None:
        self.config = config
        self.ledger = Ledger()
        self._source: KeySource | None = None
        if config.kind in QUANTUM:
            self._source = (
                SimulatedLinks(config, streams, self.ledger, levels)
                if config.key_manager is None
                else ManagedLinks(config.key_manager, self.ledger, wait=config.on_shortage == "wait")
            )
        self._server = Identity(config.identity)
        self._identities: dict[int, Identity] = {}
        self._directions: dict[tuple[int, str], _Direction] = {}
        self._round: dict[str, Any] = {}

    def begin_round(self, round_number: int, sizes: Mapping[int, int]) -> None:
        """Has a key for every broadcast of the round, or ends the run.

        Args:
            round_number: The round, from 0.
            sizes: Who is asked, and the bytes of the server's message to each.

        Raises:
            EavesdropperError: The links give no key because someone listens.
            ShortageError: Too little key, and the experiment says not to wait.
        """
        self._directions.clear()
        self._round = {"key_bits_used": 0, "key_wait_seconds": 0.0, "channel_bytes": 0}
        if self._source is None:
            self._agree_all(self.config.kind, round_number, sizes)
        else:
            self._quantum(round_number, "download", sizes, begins=True)

    def begin_uploads(self, round_number: int, sizes: Mapping[int, int]) -> None:
        """Lets the time of local training pass, then has a key for every upload, or ends the run.

        Args:
            round_number: The round, from 0.
            sizes: Who has replied, and the bytes of each client's message.

        Raises:
            ShortageError: As in :meth:`begin_round`.
        """
        if self._source is not None:
            self._source.fill(sizes)
        if self.config.kind == "qkd" and "fallback" not in self._round:
            self._quantum(round_number, "upload", sizes)

    def begin_messages(self, round_number: int, direction: str, sizes: Mapping[int, int]) -> None:
        """Has a pad for one more message of each client; a key of any other cipher seals many and is kept.

        Args:
            round_number: The round, from 0.
            direction: ``upload`` or ``download``.
            sizes: The bytes of each client's message.

        Raises:
            ShortageError: As in :meth:`begin_round`.
        """
        if self._padded:
            self._quantum(round_number, direction, sizes)

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
        return record if self._source is None else record | self._source.record()

    def _quantum(
        self, round_number: int, direction: str, sizes: Mapping[int, int], *, begins: bool = False
    ) -> None:
        """Draws keys for one direction, or falls back where the experiment says so."""
        source, hybrid = self._source, self.config.kind == "hybrid"
        assert source is not None
        sealed = hybrid or direction == "upload" or self.config.directions == "both"
        needs = {client: self._need(size) for client, size in sizes.items()} if sealed else {}
        try:
            if begins:
                source.begin_round(round_number)
            self._round["key_wait_seconds"] += source.wait_for(needs)
            purpose = "hybrid" if hybrid else f"{self.config.cipher} {direction}"
            drawn = {
                client: source.draw(client, direction, bits, purpose, round_number)
                for client, bits in needs.items()
            }
        except (EavesdropperError, ShortageError) as error:
            if self.config.on_shortage != "fallback":
                raise
            _log.warning("round %d: %s; falling back to %s", round_number + 1, error, FALLBACK)
            self._round["fallback"] = str(error)
            self._agree_all(FALLBACK, round_number, sizes)
            return
        for client, key in drawn.items():
            self._round["channel_bytes"] += key.announced
            if hybrid:  # one k_qkd enters the HKDF for both directions
                self._agree("hybrid", client, round_number, (key.client, key.server))
            else:
                ends = (key.client, key.server) if direction == "upload" else (key.server, key.client)
                self._place(client, direction, key.key_id, ends)

    @property
    def _padded(self) -> bool:
        return self.config.cipher == "otp" and self.config.kind == "qkd" and "fallback" not in self._round

    def _need(self, size: int) -> int:
        if self.config.cipher == "otp":
            return budget.one_time_pad_bits([size])
        return budget.aes_gcm_bits()

    def _agree_all(self, kind: str, round_number: int, clients: Iterable[int]) -> None:
        for client in clients:
            self._agree(kind, client, round_number)

    def _agree(
        self, kind: str, client: int, round_number: int, quantum: tuple[bytes, bytes] = (b"", b"")
    ) -> None:
        identity = self._identities.setdefault(client, Identity(self.config.identity))
        agreed = agree(kind, round_number, f"client-{client}", identity, self._server, quantum)
        self._round["channel_bytes"] += agreed.bytes
        self._place(client, "upload", agreed.key_id, (agreed.upload, agreed.upload))
        self._place(client, "download", agreed.key_id, (agreed.download, agreed.download))

    def _place(self, client: int, direction: str, key_id: str, keys: tuple[bytes, bytes]) -> None:
        """Gives the sender and the receiver of one direction each their copy of the key."""
        padded = self._padded

        def cipher(key: bytes) -> Cipher:
            return OneTimePad([(key[:-32], key[-32:])]) if padded else AesGcm(key)

        ends = _Direction(Sealer(cipher(keys[0])), Opener(cipher(keys[1])), key_id)
        self._directions[client, direction] = ends

    def _carry(self, client: int, direction: str, round_number: int, schema: str, message: bytes) -> bytes:
        ends = self._directions[client, direction]
        names = (f"client-{client}", "server")
        sender, receiver = names if direction == "upload" else names[::-1]
        context = Context(round_number, sender, receiver, schema, ends.key_id)
        sealed = ends.sealer.seal(message, context)
        self._round["channel_bytes"] += len(sealed) - len(message)
        return ends.opener.open(sealed, context)

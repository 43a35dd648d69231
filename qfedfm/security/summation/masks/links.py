"""QKD links between clients in a simulated clock, and the key managers at their ends.

A session, pulse by pulse, measures the link (all pairs' links have the same length and parameters), and each
link then makes key at that rate. What a round takes of a link is put into the key store of
:mod:`qfedfm.security.qkd.store`, which delivers every key once to each side, or never. The bits come from the
operating system: they stand for what the links would have made.
"""

from __future__ import annotations

import math
import secrets
import shutil
import tempfile
import weakref
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from qfedfm.core.random import Streams
from qfedfm.security.channel.config import ChannelConfig
from qfedfm.security.channel.errors import EavesdropperError, ShortageError
from qfedfm.security.channel.links import Measured, measure
from qfedfm.security.qkd.ledger import Draw, Ledger
from qfedfm.security.qkd.store import KeyStore, Limits
from qfedfm.security.summation.masks.config import PairLink

Pair = tuple[int, int]
MEMORY = Path("/dev/shm")


class PairLinks:
    """The links of a federation's clients among each other.

    Args:
        config: The options.
        streams: The simulated session's randomness; keys never come from here.
        last: What :meth:`record` gave in the last round before an interruption.
    """

    def __init__(self, config: PairLink, streams: Streams, last: Mapping[str, Any] | None = None) -> None:
        self.config = config
        self.ledger = Ledger()
        self._streams = streams
        self._measured: Measured | None = None
        levels = (last or {}).get("pair_key_bits", {})
        self._levels: dict[Pair, int] = {_pair(*map(int, name.split("-"))): b for name, b in levels.items()}
        # In memory where the system offers that: keys are gone with the process, and no disk is waited for.
        folder = Path(tempfile.mkdtemp(prefix="qfedfm-pairs-", dir=MEMORY if MEMORY.is_dir() else None))
        self._remove = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._store = KeyStore(folder / "keys.sqlite", Limits(max_key_size=1 << 40, max_key_count=1 << 40))
        self._bits = 0
        self._waited = 0.0

    def begin_round(self, pairs: Collection[Pair], bits: int, round_number: int) -> None:
        """Waits until every pair's link holds ``bits``.

        Raises:
            EavesdropperError: The link gives no key.
            ShortageError: Too little key, and the experiment says not to wait, or it would never be enough.
        """
        measured, config = self._link(), self.config
        self._bits, self._waited = bits, 0.0
        if round_number:
            self._fill(config.round_seconds, pairs)
        short = max((bits - self._level(pair) for pair in pairs), default=0)
        if short <= 0:
            return
        if bits > config.pool_bits:
            raise ShortageError(
                f"a round needs {bits} key bits of each pair's link, but security.sum.link.pool_bits is "
                f"{config.pool_bits}; raise it, or use masks aes-ctr"
            )
        if config.on_shortage == "abort":
            raise ShortageError(
                f"a pair's link lacks {short} of the {bits} key bits of round {round_number + 1}, and "
                "security.sum.link.on_shortage says not to wait"
            )
        self._waited = math.ceil(short / measured.rate * 1e6) / 1e6
        self._fill(self._waited, pairs)

    def draw(self, master: int, slaves: Sequence[int], round_number: int) -> dict[int, tuple[str, bytes]]:
        """Returns (key id, key) per slave for the client that draws; each slave can fetch its own once.

        Raises:
            ShortageError: A link holds too little; no key was drawn.
        """
        left = {slave: self._level(_pair(master, slave)) - self._bits for slave in slaves}
        for slave, bits in left.items():
            if bits < 0:
                raise ShortageError(f"the link of clients {master} and {slave} lacks {-bits} key bits")
        for slave, bits in left.items():
            self._levels[_pair(master, slave)] = bits
        fresh = {_name(slave): secrets.token_bytes(self._bits // 8) for slave in slaves}
        keys = self._store.add_and_draw(_name(master), fresh)
        for name, key in keys.items():
            link = f"{_name(master)}/{name}"
            self.ledger.record(Draw(key.key_id, link, "pair masks", self._bits, round_number))
        return {slave: (keys[_name(slave)].key_id, keys[_name(slave)].key) for slave in slaves}

    def fetch(self, slave: int, key_ids: Mapping[int, str]) -> dict[int, bytes]:
        """Returns the key per master for the client that was told the keys' names.

        Args:
            slave: Who asks.
            key_ids: The name of the key, per client that drew it.

        Raises:
            UsedKeyError: One was fetched before, or never drawn; none was fetched now.
        """
        keys = self._store.fetch_each(_name(slave), {_name(k): name for k, name in key_ids.items()})
        return {master: keys[_name(master)].key for master in key_ids}

    def record(self, round_number: int) -> dict[str, Any]:
        """Returns key bits, waiting and levels after the round."""
        return {
            "key_bits": self.ledger.bits(round_number),
            "key_wait_seconds": self._waited,
            "pair_key_bits": {f"{a}-{b}": self._levels[a, b] for a, b in sorted(self._levels)},
        }

    def close(self) -> None:
        """Removes the key store."""
        self._remove()

    def _link(self) -> Measured:
        if self._measured is None:
            options = self.config
            as_channel = ChannelConfig(
                kind="qkd", preset=options.preset, distance_km=options.distance_km, block=options.block
            )
            self._measured = measure(as_channel, self._streams.at("link"), False)
        if self._measured.abort is not None:
            raise EavesdropperError(f"the clients' QKD links give no key: {self._measured.abort}")
        return self._measured

    def _level(self, pair: Pair) -> int:
        return self._levels.get(pair, min(self._link().bits, self.config.pool_bits))

    def _fill(self, seconds: float, pairs: Collection[Pair]) -> None:
        made = math.ceil(seconds * self._link().rate)
        for pair in {*self._levels, *pairs}:
            self._levels[pair] = min(self.config.pool_bits, self._level(pair) + made)


def _pair(a: int, b: int) -> Pair:
    return (a, b) if a < b else (b, a)


def _name(client: int) -> str:
    return f"client-{client}"

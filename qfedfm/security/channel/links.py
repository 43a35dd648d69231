"""The clients' QKD links in a simulated clock: how much key each holds, and how long a round waits.

A session, pulse by pulse, measures the link: how many secret bits its pulses gave, or why they gave none.
Links of one federation have the same length and parameters, so one session stands for all of them; between
rounds each link fills at the measured rate.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from qfedfm.core.random import Streams
from qfedfm.security.channel.config import ChannelConfig
from qfedfm.security.channel.errors import EavesdropperError, ShortageError
from qfedfm.security.channel.sources import Drawn
from qfedfm.security.qkd.ledger import Draw, Ledger
from qfedfm.security.qkd.link.eve import NoEve
from qfedfm.security.qkd.link.outcome import Abort, Outcome
from qfedfm.security.qkd.link.session import pulses_for, run_session
from qfedfm.security.qkd.rates.lim_optimum import optimised
from qfedfm.security.qkd.rates.presets import preset


@dataclass(frozen=True)
class Measured:
    """What a session said about the link.

    Args:
        rate: Secret bits a second; 0 after an abort.
        seconds: How long the session took on the link.
        bits: Secret bits that it gave.
        abort: The reason in one sentence, else null.
        qber: Error rate of the compared bits, the larger of both bases.
    """

    rate: float
    seconds: float
    bits: int
    abort: str | None
    qber: float


def measure(config: ChannelConfig, streams: Streams, listened: bool) -> Measured:
    """Runs a session over the configured link and returns what it says."""
    link = optimised(preset(config.preset), config.distance_km, config.block)
    pulses = min(pulses_for(link, config.distance_km, config.block), 2_000_000_000)
    eve = config.eve if listened else NoEve()
    outcome: Outcome = run_session(link, config.distance_km, pulses, streams, eve=eve)
    seconds = pulses / link.pulse_rate
    qber = max(outcome.statistics.qber_x, outcome.statistics.qber_z)
    if isinstance(outcome, Abort):
        return Measured(0.0, seconds, 0, outcome.sentence, qber)
    bits = len(outcome.alice)
    return Measured(bits / seconds, seconds, bits, None, qber)


class KeyPools:
    """How many key bits each client's link holds.

    The bits that are handed out are drawn from the operating system: they stand for what the simulated links
    would have made, as uniform and as secret, without simulating every pulse of every link.

    Args:
        rate: Bits a second that each link makes.
        capacity: Most bits that a link stores.
        ledger: Where draws are recorded.
        levels: Bits per client, where a run is resumed.
        start: Bits that a link begins with.
    """

    def __init__(
        self,
        rate: float,
        capacity: int,
        ledger: Ledger,
        start: int,
        levels: Mapping[int, int] | None = None,
    ) -> None:
        self.rate = rate
        self._capacity = capacity
        self._ledger = ledger
        self._start = min(start, capacity)
        self._levels: dict[int, int] = dict(levels or {})

    def level(self, client: int) -> int:
        """Returns the bits that the client's link holds."""
        return self._levels.get(client, self._start)

    @property
    def levels(self) -> dict[int, int]:
        """Bits of every link that was used."""
        return dict(self._levels)

    def wait_for(self, needs: Mapping[int, int], may_wait: bool) -> float:
        """Returns how many seconds pass until every link holds what is needed; links fill meanwhile.

        Raises:
            ShortageError: A link holds too little and waiting is not allowed, or would never end.
        """
        short = {client: bits - self.level(client) for client, bits in needs.items()}
        worst = max(short.values(), default=0)
        if worst <= 0:
            return 0.0
        client = max(short, key=lambda c: short[c])
        if not may_wait or self.rate <= 0:
            why = "and on_shortage says not to wait" if self.rate > 0 else "and the link makes no key"
            raise ShortageError(
                f"client {client} needs {needs[client]} key bits, its link holds {self.level(client)}, {why}"
            )
        if max(needs.values()) > self._capacity:
            raise ShortageError(
                f"a round needs {max(needs.values())} key bits of one link, but security.channel.pool_bits "
                f"is {self._capacity}"
            )
        seconds = math.ceil(worst / self.rate * 1e6) / 1e6
        self.fill(seconds, needs)
        return seconds

    def fill(self, seconds: float, clients: Iterable[int]) -> None:
        """Lets ``seconds`` pass on every link that was used so far and on those of ``clients``."""
        for client in {*self._levels, *clients}:
            made = math.ceil(seconds * self.rate)
            self._levels[client] = min(self._capacity, self.level(client) + made)

    def draw(self, client: int, bits: int, purpose: str, round_number: int) -> tuple[str, bytes]:
        """Returns (key id, key of ``bits`` bits) and takes them from the client's link."""
        level = self.level(client) - bits
        if level < 0:
            raise ShortageError(f"client {client}: {bits} key bits asked for, {level + bits} there")
        self._levels[client] = level
        key_id = secrets.token_hex(16)
        self._ledger.record(Draw(key_id, f"client-{client}", purpose, bits, round_number))
        return key_id, secrets.token_bytes(bits // 8)


class SimulatedLinks:
    """A :class:`KeySource` of simulated links, measured by a session and filled by a clock.

    Args:
        config: The links, and what happens when they hold too little.
        streams: Randomness of the sessions that measure them.
        ledger: Where draws are recorded.
        levels: Bits per client's link, where a run is resumed.
    """

    def __init__(
        self,
        config: ChannelConfig,
        streams: Streams,
        ledger: Ledger,
        levels: Mapping[int, int] | None = None,
    ) -> None:
        self._config, self._streams, self._ledger, self._levels = config, streams, ledger, levels
        self._pools: KeyPools | None = None
        self._link: tuple[bool, Measured] | None = None

    def begin_round(self, round_number: int) -> None:
        """Measures the links at first and anew when Eve begins to listen; see :class:`KeySource`."""
        config = self._config
        listened = config.eve.kind != "none" and round_number + 1 >= config.eve_from_round
        if self._link is None or self._link[0] != listened:
            found = measure(config, self._streams.at("link", int(listened)), listened)
            self._link = (listened, found)
            if self._pools is None:
                self._pools = KeyPools(found.rate, config.pool_bits, self._ledger, found.bits, self._levels)
            self._pools.rate = found.rate
        if self._link[1].abort is not None:
            raise EavesdropperError(f"the QKD link gives no key: {self._link[1].abort}")

    def wait_for(self, needs: Mapping[int, int]) -> float:
        """Returns the simulated seconds until every link holds what is needed."""
        return self._filled.wait_for(needs, self._config.on_shortage == "wait")

    def draw(self, client: int, direction: str, bits: int, purpose: str, round_number: int) -> Drawn:
        """Returns a key; both ends of a simulated link hold the same bits."""
        key_id, key = self._filled.draw(client, bits, purpose, round_number)
        return Drawn(key_id, key, key)

    def fill(self, clients: Iterable[int]) -> None:
        """Lets ``round_seconds`` pass on all links that were used and on those of ``clients``."""
        if self._pools is not None:
            self._pools.fill(self._config.round_seconds, clients)

    def record(self) -> dict[str, Any]:
        """Returns the levels of the links, their error rate and their key rate."""
        found: dict[str, Any] = {}
        if self._pools is not None:
            levels = self._pools.levels
            found["key_pool_bits"] = {str(client): levels[client] for client in sorted(levels)}
        if self._link is not None:
            found |= {"link_qber": self._link[1].qber, "link_key_rate": self._link[1].rate}
        return found

    @property
    def _filled(self) -> KeyPools:
        assert self._pools is not None, "begin_round measures the links"
        return self._pools

"""A key store per pair of applications (SAEs): every bit is delivered once to each side, or never.

One SQLite file. A delivery is committed, and the bits are gone from the file, before they are handed out: a
crash in between loses a key and never repeats one. SQLite's lock orders threads and processes.
"""

from __future__ import annotations

import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from qfedfm.core.errors import QfedfmError, RequestError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS pool (
    number INTEGER PRIMARY KEY AUTOINCREMENT, pair TEXT NOT NULL, bits BLOB NOT NULL, expires REAL NOT NULL);
CREATE INDEX IF NOT EXISTS pool_pair ON pool (pair, number);
CREATE TABLE IF NOT EXISTS keys (
    key_id TEXT NOT NULL, master TEXT NOT NULL, slave TEXT NOT NULL, bits BLOB, expires REAL NOT NULL,
    PRIMARY KEY (key_id, slave));
CREATE INDEX IF NOT EXISTS pool_expires ON pool (expires);
CREATE INDEX IF NOT EXISTS keys_expires ON keys (expires);
"""


class KeyStoreError(QfedfmError):
    """A key cannot be delivered."""


class NoKeysError(KeyStoreError):
    """The pool of the pair holds too few bits."""


class UsedKeyError(KeyStoreError):
    """The key id is unknown, expired, or was delivered before."""


@dataclass(frozen=True)
class StoredKey:
    """A key with its name.

    Args:
        key_id: A UUID.
        key: Its bytes.
    """

    key_id: str
    key: bytes


@dataclass(frozen=True)
class Limits:
    """What a key manager offers.

    Args:
        key_size: Default length of a key, bits.
        min_key_size: Shortest, bits.
        max_key_size: Longest, bits.
        max_key_count: Most keys of the default length in a pool.
        max_key_per_request: Most keys in one request.
        max_sae_id_count: Most further slaves of a request.
        lifetime: Seconds after which bits expire.
    """

    key_size: int = 256
    min_key_size: int = 64
    max_key_size: int = 1 << 20
    max_key_count: int = 100_000
    max_key_per_request: int = 128
    max_sae_id_count: int = 2
    lifetime: float = 7 * 86400.0


class KeyStore:
    """Pools of key bits, and keys that wait for their second reader.

    Args:
        path: The file; it is made if missing, readable by its owner alone.
        limits: What is offered.
        clock: Seconds since the epoch.
    """

    def __init__(
        self, path: str | Path, limits: Limits | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self.path = Path(path)
        self.limits = limits or Limits()
        self._clock = clock
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch(mode=0o600, exist_ok=True)
            with self._transaction() as connection:
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
        except (OSError, sqlite3.DatabaseError) as error:
            raise RequestError(f"{self.path}: cannot be used as a key store ({error})") from error

    def add(self, a: str, b: str, bits: bytes) -> int:
        """Adds key bits that both applications of a pair hold; returns how many bytes there was room for."""
        with self._transaction() as connection:
            return self._add(connection, _pair(a, b), bits)

    def stored_key_count(self, a: str, b: str) -> int:
        """Returns how many keys of the default length the pair's pool holds."""
        with self._transaction() as connection:
            return _stored(connection, _pair(a, b)) // (self.limits.key_size // 8)

    def draw(
        self, master: str, slaves: Sequence[str], number: int = 1, size: int | None = None
    ) -> list[StoredKey]:
        """Delivers new keys to the master and keeps them for each slave.

        Args:
            master: Who asks.
            slaves: Who may fetch them later, the first of whom forms the pair.
            number: How many.
            size: Bits of each; the default length if null.

        Raises:
            RequestError: A number or size out of range.
            NoKeysError: The pool holds too few bits; nothing was taken.
        """
        limits = self.limits
        size = self._size(size)
        if not 1 <= number <= limits.max_key_per_request:
            raise RequestError(f"number is {number}; it must be from 1 to {limits.max_key_per_request}")
        with self._transaction() as connection:
            return self._draw(connection, master, slaves, number, size)

    def add_and_draw(self, master: str, bits: Mapping[str, bytes]) -> dict[str, StoredKey]:
        """Adds bits to the pools of several pairs and delivers one key of each to the master, all or none.

        Args:
            master: Who asks.
            bits: Per slave the new bits of its pair; the key is as long, and of the oldest bits in the pool.

        Raises:
            RequestError: A key of that length is not offered.
            NoKeysError: A pool is too small for its bits.
        """
        sizes = {slave: self._size(8 * len(new)) for slave, new in bits.items()}
        with self._transaction() as connection:
            for slave, new in bits.items():
                self._add(connection, _pair(master, slave), new)
            return {slave: self._draw(connection, master, [slave], 1, sizes[slave])[0] for slave in bits}

    def fetch(self, master: str, slave: str, key_ids: Sequence[str]) -> list[StoredKey]:
        """Delivers keys to the slave; each can be fetched once.

        Raises:
            UsedKeyError: One of them is unknown or was delivered; none was delivered now.
        """
        with self._transaction() as connection:
            return [_fetch(connection, master, slave, key_id) for key_id in key_ids]

    def fetch_each(self, slave: str, key_ids: Mapping[str, str]) -> dict[str, StoredKey]:
        """Delivers one key of each of several masters to the slave.

        Args:
            slave: Who asks.
            key_ids: Per master the name of the key.

        Raises:
            UsedKeyError: As :meth:`fetch`.
        """
        with self._transaction() as connection:
            return {master: _fetch(connection, master, slave, key_id) for master, key_id in key_ids.items()}

    def _size(self, size: int | None) -> int:
        """Returns the length of a key in bits, if it is offered."""
        limits = self.limits
        size = limits.key_size if size is None else size
        if size % 8 or not limits.min_key_size <= size <= limits.max_key_size:
            raise RequestError(
                f"size is {size}; it must be a multiple of 8 from {limits.min_key_size} "
                f"to {limits.max_key_size}"
            )
        return size

    def _add(self, connection: sqlite3.Connection, pair: str, bits: bytes) -> int:
        room = self.limits.max_key_count * self.limits.key_size // 8 - _stored(connection, pair)
        taken = bits[: max(0, room)]
        if taken:
            connection.execute(
                "INSERT INTO pool (pair, bits, expires) VALUES (?, ?, ?)",
                (pair, taken, self._clock() + self.limits.lifetime),
            )
        return len(taken)

    def _draw(
        self, connection: sqlite3.Connection, master: str, slaves: Sequence[str], number: int, size: int
    ) -> list[StoredKey]:
        pair, octets = _pair(master, slaves[0]), size // 8
        if _stored(connection, pair) < number * octets:
            raise NoKeysError(f"the pool of {master} and {slaves[0]} holds fewer than {number * size} bits")
        stream = _take(connection, pair, number * octets)
        expires = self._clock() + self.limits.lifetime
        keys = [StoredKey(str(uuid.uuid4()), stream[k * octets : (k + 1) * octets]) for k in range(number)]
        connection.executemany(
            "INSERT INTO keys VALUES (?, ?, ?, ?, ?)",
            [(key.key_id, master, slave, key.key, expires) for key in keys for slave in slaves],
        )
        return keys

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self.path, timeout=60, isolation_level=None)
        try:
            # Deleted bits are overwritten, and a commit is on the disk before it returns.
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("BEGIN IMMEDIATE")
            try:
                if self._has_tables(connection):
                    now = self._clock()
                    connection.execute("DELETE FROM pool WHERE expires < ?", (now,))
                    connection.execute("DELETE FROM keys WHERE expires < ?", (now,))
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
        finally:
            connection.close()

    @staticmethod
    def _has_tables(connection: sqlite3.Connection) -> bool:
        return bool(connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'keys'").fetchone())


def _pair(a: str, b: str) -> str:
    return "\n".join(sorted((a, b)))


def _stored(connection: sqlite3.Connection, pair: str) -> int:
    row = connection.execute("SELECT COALESCE(SUM(LENGTH(bits)), 0) FROM pool WHERE pair = ?", (pair,))
    return int(row.fetchone()[0])


def _fetch(connection: sqlite3.Connection, master: str, slave: str, key_id: str) -> StoredKey:
    """Takes one key from those that wait for the slave."""
    row = connection.execute(
        "SELECT bits FROM keys WHERE key_id = ? AND master = ? AND slave = ?", (key_id, master, slave)
    ).fetchone()
    if row is None or row[0] is None:
        raise UsedKeyError(f"key {key_id} is unknown, expired, or was delivered before")
    # The row stays without its bits, so that a second request is told apart from a new key.
    connection.execute("UPDATE keys SET bits = NULL WHERE key_id = ? AND slave = ?", (key_id, slave))
    return StoredKey(key_id, row[0])


def _take(connection: sqlite3.Connection, pair: str, octets: int) -> bytes:
    """Takes the oldest bytes out of the pool."""
    taken = b""
    while len(taken) < octets:
        number, bits = connection.execute(
            "SELECT number, bits FROM pool WHERE pair = ? ORDER BY number LIMIT 1", (pair,)
        ).fetchone()
        missing = octets - len(taken)
        taken += bits[:missing]
        if len(bits) <= missing:
            connection.execute("DELETE FROM pool WHERE number = ?", (number,))
        else:
            connection.execute("UPDATE pool SET bits = ? WHERE number = ?", (bits[missing:], number))
    return taken

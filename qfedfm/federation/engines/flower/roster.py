"""Who takes part: which client is on which machine, how much it holds, and its public key.

A client keeps its number for good: the roster lies beside the run's records and outlives the server.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from qfedfm.core.errors import UpdateRefusedError
from qfedfm.core.files import write_atomic
from qfedfm.federation.engines.flower.wire import Envelope


@dataclass(frozen=True)
class Entry:
    """One client.

    Args:
        member: The name that its machine keeps.
        examples: How many training examples it holds.
        identity: Its public signing key, hexadecimal.
    """

    member: str
    examples: int
    identity: str


class Roster:
    """The clients of a federation.

    Args:
        clients: How many there are.
        schema: Of the layout that all must have.
        path: Where it lies, or None to keep it in memory.
        owners: Per machine, the client that its key stands for; empty where keys are not checked.
    """

    def __init__(
        self, clients: int, schema: str, path: Path | None = None, owners: Mapping[int, int] | None = None
    ) -> None:
        self._clients = clients
        self._owners = dict(owners or {})
        self._schema = schema
        self._path = path
        self.entries: dict[int, Entry] = {}
        self.places: dict[int, int] = {}
        """Per client the machine that it is on now."""
        if path is not None and path.exists():
            self.entries = {int(k): Entry(**entry) for k, entry in json.loads(path.read_text()).items()}

    @property
    def missing(self) -> list[int]:
        """Clients that have never been there."""
        return [client for client in range(self._clients) if client not in self.entries]

    def enrol(self, node: int, hello: Envelope) -> int:
        """Takes a machine's introduction; returns its client's number.

        Raises:
            UpdateRefusedError: It does not fit this federation; the sentence says why.
        """
        partition = hello.fields.get("partition")
        entry = Entry(hello.text("member"), hello.number("examples"), hello.text("identity"))
        if hello.text("schema") != self._schema:
            raise UpdateRefusedError(
                f"its model has schema {hello.text('schema')!r}, not {self._schema!r}: another experiment, "
                "backbone or package version"
            )
        if entry.examples < 1:
            raise UpdateRefusedError("it holds no training examples")
        number = hello.number("partition") if partition is not None else None
        client = self._by_key(node, number) if self._owners else self._number(entry, number)
        known = self.entries.get(client)
        if known is not None and known != entry:
            what = "member" if known.member != entry.member else "amount of data or its identity"
            raise UpdateRefusedError(f"client {client} has joined before, and this is another {what}")
        self.entries[client], self.places[client] = entry, node
        if self._path is not None:
            write_atomic(self._path, json.dumps({k: asdict(e) for k, e in sorted(self.entries.items())}))
        return client

    def leave(self, gone: Iterable[int]) -> None:
        """Notes that these machines are not connected."""
        away = set(gone)
        self.places = {client: node for client, node in self.places.items() if node not in away}

    def _by_key(self, node: int, partition: int | None) -> int:
        """Returns whose key it is, which is who it is."""
        if node not in self._owners:
            raise UpdateRefusedError("its key is no client's")
        owner = self._owners[node]
        if partition is not None and partition != owner:
            raise UpdateRefusedError(
                f"its key is client {owner}'s, and it joins as partition {partition}; a client has one place"
            )
        return owner

    def _number(self, entry: Entry, partition: int | None) -> int:
        if partition is not None:
            if partition >= self._clients:
                raise UpdateRefusedError(f"it is partition {partition} of {self._clients}")
            return partition
        for client, known in self.entries.items():
            if known.member == entry.member:
                return client
        if not self.missing:
            raise UpdateRefusedError(f"all {self._clients} clients of this federation are there already")
        return self.missing[0]

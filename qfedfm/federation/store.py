"""What belongs to a client from round to round, on disk: 10,000 clients cost disk, not memory.

Every entry carries the round after which it is valid. A run that resumes from round r first forgets
all later entries, so a replayed round starts from exactly what it started from before; entries are
kept back to the oldest checkpoint that may be resumed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

KEPT_ROUNDS = 2


class ClientStore:
    """Named tensors per client in one SQLite file.

    Args:
        path: The file, made when first needed; ``None`` keeps everything in memory.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = sqlite3.connect(str(self._path) if self._path else ":memory:")
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS entries (client INTEGER, round INTEGER, content BLOB,"
                " PRIMARY KEY (client, round))"
            )
        return self._connection

    def rewind(self, round_number: int) -> None:
        """Forgets every entry that is valid only after a round later than ``round_number``."""
        if self._path is None or self._path.exists():
            with self._open() as connection:
                connection.execute("DELETE FROM entries WHERE round > ?", (round_number,))

    def read(self, clients: Sequence[int]) -> list[dict[str, Tensor] | None]:
        """Returns each client's newest entry, or None where there is none."""
        from safetensors.torch import load

        found: list[dict[str, Tensor] | None] = []
        for client in clients:
            row = (
                self._open()
                .execute(
                    "SELECT content FROM entries WHERE client = ? ORDER BY round DESC LIMIT 1", (client,)
                )
                .fetchone()
            )
            found.append(load(row[0]) if row else None)
        return found

    def write(self, round_number: int, entries: Mapping[int, Mapping[str, Tensor]]) -> None:
        """Keeps ``entries`` as valid after ``round_number``, in one transaction."""
        from safetensors.torch import save

        with self._open() as connection:
            for client, tensors in entries.items():
                content = save({name: tensor.contiguous() for name, tensor in tensors.items()})
                connection.execute(
                    "INSERT OR REPLACE INTO entries VALUES (?, ?, ?)", (client, round_number, content)
                )
                connection.execute(
                    "DELETE FROM entries WHERE client = ?1 AND round < (SELECT MAX(round) FROM entries"
                    " WHERE client = ?1 AND round <= ?2)",
                    (client, round_number - KEPT_ROUNDS),
                )

    def close(self) -> None:
        """Closes the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

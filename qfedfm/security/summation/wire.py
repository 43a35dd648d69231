"""Messages of several fields: each a length of four bytes and its content. Nothing is evaluated, only cut."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from qfedfm.security.summation.protocol import SumAbortedError

_LENGTH = 4


def join(*parts: bytes) -> bytes:
    """Returns one message of ``parts``."""
    return b"".join(len(part).to_bytes(_LENGTH, "big") + part for part in parts)


def split(message: bytes, count: int | None = None) -> list[bytes]:
    """Returns the parts of a message.

    Raises:
        SumAbortedError: It is not made of whole parts, or not of ``count``.
    """
    parts, at = [], 0
    while at < len(message):
        end = at + _LENGTH + int.from_bytes(message[at : at + _LENGTH], "big")
        if end > len(message) or at + _LENGTH > len(message):
            raise SumAbortedError("a message is cut off")
        parts.append(message[at + _LENGTH : end])
        at = end
    if count is not None and len(parts) != count:
        raise SumAbortedError(f"a message has {len(parts)} parts, not {count}")
    return parts


def table(entries: Mapping[int, bytes]) -> bytes:
    """Returns one message of content by client."""
    return join(*(client.to_bytes(_LENGTH, "big") + entries[client] for client in sorted(entries)))


def read_table(message: bytes) -> dict[int, bytes]:
    """Returns the content by client.

    Raises:
        SumAbortedError: It is not a table, or names a client twice.
    """
    found: dict[int, bytes] = {}
    for part in split(message):
        client = int.from_bytes(part[:_LENGTH], "big")
        if len(part) < _LENGTH or client in found:
            raise SumAbortedError("a message is not a table of clients")
        found[client] = part[_LENGTH:]
    return found


def clients(numbers: Iterable[int]) -> bytes:
    """Returns a list of clients."""
    return b"".join(client.to_bytes(_LENGTH, "big") for client in sorted(numbers))


def read_clients(message: bytes) -> set[int]:
    """Returns the clients of a list."""
    return {int.from_bytes(message[at : at + _LENGTH], "big") for at in range(0, len(message), _LENGTH)}

"""Typed messages between server and client.

Form: ``QFW1`` | length of the header, 4 bytes | header, JSON | body. The body is a safetensors message (a
broadcast, an update), the same sealed by the channel, or a sum protocol's bytes. Nothing is ever unpickled.

Each request carries a token drawn by the server, and its reply repeats it: a reply to no open request is
refused, whatever else it says.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qfedfm.core.errors import UpdateRefusedError

MAGIC = b"QFW1"
LONGEST_HEADER = 1 << 20
SLACK = 1 << 16
"""Bytes that a message may have beside the numbers that it carries."""

HELLO, KEYS, TRAIN, PHASE = "hello", "keys", "train", "phase"
UPDATE, OFFER, REFUSED, BEHIND = "update", "offer", "refused", "behind"
KINDS = frozenset({HELLO, KEYS, TRAIN, PHASE, UPDATE, OFFER, REFUSED, BEHIND})


@dataclass(frozen=True)
class Envelope:
    """One message.

    Args:
        kind: What it is.
        token: Of the request, repeated by the reply.
        fields: The rest of the header, JSON-ready.
        body: What is carried.
    """

    kind: str
    token: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    body: bytes = b""

    def to_bytes(self) -> bytes:
        """Returns the message."""
        header = json.dumps({"kind": self.kind, "token": self.token, "fields": dict(self.fields)}).encode()
        assert len(header) <= LONGEST_HEADER
        return MAGIC + len(header).to_bytes(4, "big") + header + self.body

    def reply(self, kind: str, fields: Mapping[str, Any] | None = None, body: bytes = b"") -> Envelope:
        """Returns an answer to this request."""
        return Envelope(kind, self.token, fields or {}, body)

    def text(self, name: str) -> str:
        """Returns a field that must be text.

        Raises:
            UpdateRefusedError: It is missing or not text.
        """
        return str(self._typed(name, str))

    def number(self, name: str) -> int:
        """Returns a field that must be a whole number from 0.

        Raises:
            UpdateRefusedError: It is missing or not such a number.
        """
        value = self._typed(name, int)
        if isinstance(value, bool) or value < 0:
            raise UpdateRefusedError(f"the header's field {name!r} is {value!r}")
        return int(value)

    def mapping(self, name: str) -> dict[str, Any]:
        """Returns a field that must be a JSON object.

        Raises:
            UpdateRefusedError: It is missing or not an object.
        """
        return dict(self._typed(name, dict))

    def _typed(self, name: str, kind: type) -> Any:
        value = self.fields.get(name)
        if not isinstance(value, kind):
            raise UpdateRefusedError(f"the header's field {name!r} is not of type {kind.__name__}")
        return value


def parse(message: bytes, limit: int | None = None) -> Envelope:
    """Returns the message in ``message``.

    Args:
        message: What came.
        limit: Most bytes that are looked at, or None.

    Raises:
        UpdateRefusedError: It is not such a message; the sentence says why.
    """
    if limit is not None and len(message) > limit:
        raise UpdateRefusedError(f"the message has {len(message)} bytes, and at most {limit} are accepted")
    if message[:1] == b"\x80" and message[-1:] == b".":
        raise UpdateRefusedError("the message is a pickle, and nothing here is unpickled")
    if message[:4] != MAGIC:
        raise UpdateRefusedError("the message does not begin like one of this program")
    length = int.from_bytes(message[4:8], "big")
    if length > LONGEST_HEADER or 8 + length > len(message):
        raise UpdateRefusedError("the message's header is cut off")
    try:
        header = json.loads(message[8 : 8 + length])
        kind, token, fields = header["kind"], header["token"], header["fields"]
    except (ValueError, KeyError, TypeError) as error:
        raise UpdateRefusedError(f"the message's header is malformed: {error}") from error
    if kind not in KINDS or not isinstance(token, str) or not isinstance(fields, dict):
        raise UpdateRefusedError(f"the message's header is of the unknown kind {kind!r}")
    return Envelope(kind, token, fields, message[8 + length :])


def new_token() -> str:
    """Returns a token that nobody can guess."""
    return secrets.token_hex(16)

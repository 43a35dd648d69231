"""One sealed message: its form, its associated data, and every way in which it can be refused.

Form: ``QFS1`` | counter, 8 bytes | length of the body, 8 bytes | body | tag, 16 bytes. Round, sender,
receiver, schema and key id are associated data: they do not travel here, both sides know them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Protocol

from qfedfm.security.channel.errors import (
    BurntKeyError,
    ReorderError,
    ReplayError,
    TamperError,
    TruncationError,
)

MAGIC = b"QFS1"
HEADER_BYTES = 20
TAG_BYTES = 16
OVERHEAD_BYTES = HEADER_BYTES + TAG_BYTES


@dataclass(frozen=True)
class Context:
    """What a message is bound to.

    Args:
        round: The round, from 0.
        sender: Who sends, for example ``client-3``.
        receiver: Who receives, for example ``server``.
        schema: Hash of the layout of what is sent.
        key_id: Which key seals it.
    """

    round: int
    sender: str
    receiver: str
    schema: str
    key_id: str

    def encode(self) -> bytes:
        """Returns the associated data; no two contexts share it."""
        return json.dumps([self.round, self.sender, self.receiver, self.schema, self.key_id]).encode()


class Cipher(Protocol):
    """Encrypts messages under increasing counters."""

    def encrypt(self, counter: int, message: bytes, associated: bytes) -> bytes:
        """Returns body and tag."""

    def decrypt(self, counter: int, sealed: bytes, associated: bytes) -> bytes:
        """Returns the message.

        Raises:
            TamperError: The tag does not fit.
        """

    def burn(self) -> None:
        """Forgets the key."""


class AesGcm:
    """AES-256-GCM with 96-bit counter nonces; one key for one direction (NIST SP 800-38D).

    Args:
        key: 32 bytes.
    """

    def __init__(self, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._cipher: AESGCM | None = AESGCM(key)

    def encrypt(self, counter: int, message: bytes, associated: bytes) -> bytes:
        """Returns body and tag."""
        if self._cipher is None:
            raise BurntKeyError("the key of this channel is burnt")
        return self._cipher.encrypt(counter.to_bytes(12, "big"), message, associated)

    def decrypt(self, counter: int, sealed: bytes, associated: bytes) -> bytes:
        """Returns the message; see :class:`Cipher`."""
        from cryptography.exceptions import InvalidTag

        if self._cipher is None:
            raise BurntKeyError("the key of this channel is burnt")
        try:
            return self._cipher.decrypt(counter.to_bytes(12, "big"), sealed, associated)
        except InvalidTag:
            raise TamperError("the tag of a sealed message does not fit") from None

    def burn(self) -> None:
        """Forgets the key."""
        self._cipher = None


class OneTimePad:
    """A pad as long as the message, and Poly1305 with a key that is used once (RFC 8439, section 2.5).

    Args:
        pads: One ``(pad, 32-byte Poly1305 key)`` for each message to come, in order.
    """

    def __init__(self, pads: list[tuple[bytes, bytes]]) -> None:
        self._pads: dict[int, tuple[bytes, bytes]] = dict(enumerate(pads))

    def _take(self, counter: int, length: int) -> tuple[bytes, bytes]:
        if counter not in self._pads:
            raise BurntKeyError(f"the pad of message {counter} is used up or burnt")
        pad, key = self._pads.pop(counter)
        if len(pad) != length:
            raise TruncationError(f"a message of {length} bytes does not fit a pad of {len(pad)}")
        return pad, key

    def encrypt(self, counter: int, message: bytes, associated: bytes) -> bytes:
        """Returns body and tag; the pad is forgotten."""
        pad, key = self._take(counter, len(message))
        body = _xor(message, pad)
        return body + _poly1305(key, counter, body, associated)

    def decrypt(self, counter: int, sealed: bytes, associated: bytes) -> bytes:
        """Returns the message; the pad is forgotten, whatever comes of it."""
        import hmac

        body, tag = sealed[:-TAG_BYTES], sealed[-TAG_BYTES:]
        pad, key = self._take(counter, len(body))
        if not hmac.compare_digest(_poly1305(key, counter, body, associated), tag):
            raise TamperError("the tag of a sealed message does not fit")
        return _xor(body, pad)

    def burn(self) -> None:
        """Forgets every pad."""
        self._pads.clear()


class Sealer:
    """The sending end of one direction.

    Args:
        cipher: With a key of its own; no other sealer may hold it.
    """

    def __init__(self, cipher: Cipher) -> None:
        self._cipher = cipher
        self._counter = 0

    def seal(self, message: bytes, context: Context) -> bytes:
        """Returns the sealed message; its counter is never used again."""
        counter = self._counter
        self._counter += 1
        header = MAGIC + counter.to_bytes(8, "big") + len(message).to_bytes(8, "big")
        return header + self._cipher.encrypt(counter, message, header + context.encode())


class Opener:
    """The receiving end of one direction.

    Args:
        cipher: With the same key as the sealer's.
    """

    def __init__(self, cipher: Cipher) -> None:
        self._cipher = cipher
        self._expected = 0
        self._burnt = False

    def open(self, sealed: bytes, context: Context) -> bytes:
        """Returns the message.

        Raises:
            TruncationError: Fewer or more bytes than the header says.
            TamperError: The tag does not fit message and context.
            ReplayError: This message was opened before.
            ReorderError: An earlier message has not come yet.
            BurntKeyError: An earlier failure burnt the key.
        """
        if self._burnt:
            raise BurntKeyError("the key of this channel was burnt by an earlier failure")
        try:
            return self._open(sealed, context)
        except Exception:
            self._burnt = True
            self._cipher.burn()
            raise

    def _open(self, sealed: bytes, context: Context) -> bytes:
        if len(sealed) < OVERHEAD_BYTES:
            raise TruncationError(f"a sealed message of {len(sealed)} bytes is cut off")
        header = sealed[:HEADER_BYTES]
        if header[:4] != MAGIC:
            raise TamperError("this is not a sealed message")
        counter, length = int.from_bytes(header[4:12], "big"), int.from_bytes(header[12:20], "big")
        if len(sealed) != OVERHEAD_BYTES + length:
            raise TruncationError(
                f"the sealed message says {length} bytes and has {len(sealed) - OVERHEAD_BYTES}"
            )
        if isinstance(self._cipher, OneTimePad) and counter != self._expected:
            self._order(counter)  # its pad is gone, so the tag cannot be checked first
        message = self._cipher.decrypt(counter, sealed[HEADER_BYTES:], header + context.encode())
        self._order(counter)
        self._expected += 1
        return message

    def _order(self, counter: int) -> None:
        if counter < self._expected:
            raise ReplayError(f"message {counter} was opened before")
        if counter > self._expected:
            raise ReorderError(f"message {counter} came before message {self._expected}")


def _xor(a: bytes, b: bytes) -> bytes:
    import numpy as np

    return (np.frombuffer(a, dtype=np.uint8) ^ np.frombuffer(b, dtype=np.uint8)).tobytes()


def _poly1305(key: bytes, counter: int, body: bytes, associated: bytes) -> bytes:
    from cryptography.hazmat.primitives.poly1305 import Poly1305

    lengths = len(associated).to_bytes(8, "big") + len(body).to_bytes(8, "big") + counter.to_bytes(8, "big")
    return Poly1305.generate_tag(key, lengths + associated + body)

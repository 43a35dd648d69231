"""The classical channel: every message carries a Wegman-Carter tag.

Wegman, Carter, 1981: the tag is the polynomial hash of the message under a kept key, plus a pad that is used
once; 128 bits of the shared seed a message. A forger succeeds with probability at most (blocks + 1) / 2^128.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from qfedfm.core.errors import RequestError
from qfedfm.security.qkd.link.eve import Tampering
from qfedfm.security.qkd.link.outcome import SessionAborted
from qfedfm.security.qkd.link.polynomial_hash import polynomial_hash

TAG_BITS = 128
TAG_BYTES = TAG_BITS // 8


class AuthenticationSeed:
    """The secret that both parties share beforehand: a hash key that is kept and pads that are used once.

    Args:
        secret: At least 16 bytes for the hash key and 16 for each pad.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) < 2 * TAG_BYTES:
            raise RequestError(f"the authentication seed has {len(secret)} bytes; it needs at least 32")
        self._key = secret[:TAG_BYTES]
        self._pads = bytearray(secret[TAG_BYTES:])
        self.used_bits = 0

    @staticmethod
    def fresh(messages: int = 64) -> AuthenticationSeed:
        """Returns a seed from the operating system, for so many messages."""
        return AuthenticationSeed(secrets.token_bytes(TAG_BYTES * (messages + 1)))

    @property
    def messages(self) -> int:
        """For how many messages the pads last."""
        return len(self._pads) // TAG_BYTES

    def replenish(self, secret: bytes) -> None:
        """Adds pads from a new key."""
        self._pads += secret

    def take(self) -> bytes:
        """Returns a pad and forgets it.

        Raises:
            SessionAborted: None is left.
        """
        if self.messages == 0:
            raise SessionAborted(
                "authentication_exhausted",
                "the pre-shared authentication seed is used up; share a new one before the next session",
            )
        pad = bytes(self._pads[:TAG_BYTES])
        del self._pads[:TAG_BYTES]
        self.used_bits += TAG_BITS
        return pad

    def tag(self, pad: bytes, message: bytes) -> bytes:
        """Returns the tag of ``message`` under ``pad``."""
        digest = polynomial_hash(self._key, message)
        return bytes(a ^ b for a, b in zip(digest, pad, strict=True))


@dataclass
class Conversation:
    """Messages from one party to the other, in order, with an attacker on the line.

    Args:
        seed: The seed that both parties hold in the same state.
        tampering: What the attacker does, if anything.
    """

    seed: AuthenticationSeed
    tampering: Tampering | None = None
    sent: list[tuple[str, int]] = field(default_factory=list)

    def send(self, kind: str, payload: bytes) -> None:
        """Delivers a message, or ends the session because its tag does not fit.

        Args:
            kind: One of ``eve.MESSAGES``.
            payload: Its bytes; their number in the session is authenticated with them.

        Raises:
            SessionAborted: The receiver computes another tag than the one that came.
        """
        pad = self.seed.take()
        number = len(self.sent)
        header = f"{number}:{kind}:".encode()
        tag = self.seed.tag(pad, header + payload)
        received, received_tag = payload, tag
        if self.tampering is not None and self.tampering.message == kind:
            received = _flip(payload, self.tampering.bit)
        if self.tampering is not None and self.tampering.message == "tag" and number == 0:
            received_tag = _flip(tag, self.tampering.bit)
        self.sent.append((kind, 8 * len(payload)))
        expected = self.seed.tag(pad, header + received)
        if not secrets.compare_digest(expected, received_tag):
            named = "tag" if received == payload else kind
            raise SessionAborted(
                "tampered",
                f"the {named} message was changed on the classical channel: its tag does not fit; "
                "the session's bits are discarded",
                named,
            )


def _flip(payload: bytes, bit: int) -> bytes:
    """Returns ``payload`` with one bit flipped, counted from the first byte's most significant."""
    place = bit % (8 * len(payload))
    changed = bytearray(payload)
    changed[place // 8] ^= 0x80 >> (place % 8)
    return bytes(changed)

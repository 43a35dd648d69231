"""How a session ends: with a key, or without one and a reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from qfedfm.core.errors import QfedfmError

Reason = Literal["tampered", "qber", "chsh", "no_key", "verification", "too_few", "authentication_exhausted"]


@dataclass(frozen=True)
class Statistics:
    """What a session measured and spent, whether or not it gave a key.

    Args:
        pulses: Pulses (or pairs) sent.
        detections: Pulses that were detected.
        raw_bits: Sifted bits of the key basis, less those that were compared.
        compared_bits: Bits that were disclosed to estimate errors, both bases.
        qber_x: Error rate of the compared bits of the key basis.
        qber_z: Error rate of the other basis.
        parities: Parities that Alice disclosed in error correction.
        tag_bits: Bits of verification tags.
        disclosed_bits: Raw bits of frames that error correction gave up and disclosed.
        authentication_bits: Bits of the pre-shared seed that authentication used up.
        chsh: S, where the protocol measures it.
    """

    pulses: int = 0
    detections: int = 0
    raw_bits: int = 0
    compared_bits: int = 0
    qber_x: float = 0.0
    qber_z: float = 0.0
    parities: int = 0
    tag_bits: int = 0
    disclosed_bits: int = 0
    authentication_bits: int = 0
    chsh: float | None = None

    @property
    def leak(self) -> int:
        """lambda_EC: everything about the raw key that was said in public."""
        return self.parities + self.tag_bits + self.disclosed_bits


@dataclass(frozen=True)
class Key:
    """A session that gave a key.

    Args:
        alice: Alice's key, shape (bits,), uint8 of 0 and 1.
        bob: Bob's.
        secret_bits: Length of the key before authentication took its share.
        statistics: What was measured.
        phase_error: Upper bound on the phase error rate that the length rests on.
    """

    alice: NDArray[np.uint8]
    bob: NDArray[np.uint8]
    secret_bits: int
    statistics: Statistics
    phase_error: float


@dataclass(frozen=True)
class Abort:
    """A session that gave none; whatever it had produced is discarded.

    Args:
        reason: The kind of failure.
        message: Which kind of classical message was tampered with, else ``""``.
        sentence: The same for people.
        statistics: What was measured before.
    """

    reason: Reason
    message: str
    sentence: str
    statistics: Statistics


Outcome = Key | Abort


class SessionAborted(QfedfmError):
    """Ends a session from within.

    Args:
        reason: The kind of failure.
        sentence: The same for people.
        message: Which kind of message was tampered with, else ``""``.
    """

    def __init__(self, reason: Reason, sentence: str, message: str = "") -> None:
        super().__init__(sentence)
        self.reason: Reason = reason
        self.message = message

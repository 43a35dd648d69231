"""Sealing what travels: options, keys, one message, a whole round.

Simulated: the QKD link that ``qkd`` and ``hybrid`` draw from. Real: AES-256-GCM, Poly1305, HKDF, X25519,
ML-KEM, Ed25519, ML-DSA, all from the ``cryptography`` package.
"""

from __future__ import annotations

from qfedfm.security.channel.config import ChannelConfig
from qfedfm.security.channel.errors import ChannelError

__all__ = ["ChannelConfig", "ChannelError"]

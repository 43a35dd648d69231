"""The polynomial hash over GF(2^128): verification of keys and Wegman-Carter authentication.

Wegman, Carter, 1981, doi:10.1016/0022-0000(81)90033-7; the field and its bit order are those of GHASH (NIST
SP 800-38D), so that AES-GCM can be the judge. Two messages of at most d blocks collide under a random key
with probability at most d / 2^128; cut to t bits, at most d / 2^t.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qfedfm.core.errors import RequestError
from qfedfm.security.qkd.link.polynomial_kernel import polynomial, powers_table

BLOCK_BYTES = 16


def polynomial_hash(key: bytes, message: bytes) -> bytes:
    """Returns the 16-byte hash of ``message`` under a 16-byte key.

    The message is padded with zeros to whole blocks and followed by its length in bits, so no message is a
    prefix of another.
    """
    if len(key) != BLOCK_BYTES:
        raise RequestError(f"the hash key has {len(key)} bytes; it needs {BLOCK_BYTES}")
    tail = -len(message) % BLOCK_BYTES
    lengths = (8 * len(message)).to_bytes(8, "big") + bytes(8)
    octets = np.frombuffer(message + bytes(tail) + lengths, dtype=np.uint8)
    high, low = int.from_bytes(key[:8], "big"), int.from_bytes(key[8:], "big")
    table = np.empty((16, 256, 2), dtype=np.uint64)
    powers_table(np.uint64(high), np.uint64(low), table)
    a, b = polynomial(octets, table)
    return int(a).to_bytes(8, "big") + int(b).to_bytes(8, "big")


def verification_tag(key: bytes, bits: NDArray[np.uint8], length: int) -> bytes:
    """Returns the first ``length`` bits (a multiple of 8) of the hash of a key's bits."""
    message = len(bits).to_bytes(8, "big") + np.packbits(bits).tobytes()
    return polynomial_hash(key, message)[: length // 8]


def blocks_of(bits: int) -> int:
    """Returns how many blocks the hash of so many bits runs over, d of the collision bound."""
    return -(-bits // 128) + 2

"""Masks from keys: AES-256 in counter mode, added chunk by chunk.

A key of 256 bits makes one mask, ever, so the counter starts at zero. All 256 bits enter the cipher: masks of
keys that differ in any of them differ.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qfedfm.security.summation.masks.integers import CHUNK, Words

KEY_BYTES = 32
_BLOCK = 16


def add_masks(words: Words, keys: Sequence[tuple[bytes, int]]) -> None:
    """Adds masks to ``words`` in place, mod 2^32.

    Args:
        words: Shape (d,).
        keys: ``(key, sign)``; sign +1 adds the key's mask, -1 takes it away.
    """
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    assert all(len(key) == KEY_BYTES for key, _ in keys)
    streams = [
        (
            Cipher(algorithms.AES(key), modes.CTR(bytes(_BLOCK))).encryptor(),
            np.add if sign > 0 else np.subtract,
        )
        for key, sign in keys
    ]
    zeros = bytes(4 * CHUNK)
    buffer = bytearray(4 * CHUNK + _BLOCK)
    mask = np.frombuffer(buffer, "<u4", CHUNK)
    for start in range(0, len(words), CHUNK):
        part = words[start : start + CHUNK]
        count = len(part)
        plain = zeros if count == CHUNK else zeros[: 4 * count]
        for stream, accumulate in streams:
            stream.update_into(plain, buffer)
            accumulate(part, mask[:count], out=part)


def keystream(key: bytes, size: int) -> Words:
    """Returns the mask of one key, shape (d,)."""
    words = np.zeros(size, np.uint32)
    add_masks(words, [(key, 1)])
    return words

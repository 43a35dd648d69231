"""Multiplication by a fixed element of GF(2^128), byte by byte from a table of 16 x 256 products."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

import numpy as np

from qfedfm.core.compiled import cached

_REDUCTION = np.uint64(0xE1) << np.uint64(56)


@cached
def powers_table(high, low, table):
    """Fills ``table`` (16, 256, 2): the key times each byte at each place; bit 0 is the most significant."""
    for place in range(16):
        table[place, 0, 0] = 0
        table[place, 0, 1] = 0
        for bit in range(8):
            entry = 0x80 >> bit
            table[place, entry, 0] = high
            table[place, entry, 1] = low
            carry = low & np.uint64(1)
            low = (low >> np.uint64(1)) | (high << np.uint64(63))
            high = high >> np.uint64(1)
            if carry:
                high ^= _REDUCTION
        for value in range(256):
            a, b = np.uint64(0), np.uint64(0)
            for bit in range(8):
                entry = 0x80 >> bit
                if value & entry:
                    a ^= table[place, entry, 0]
                    b ^= table[place, entry, 1]
            table[place, value, 0] = a
            table[place, value, 1] = b


@cached
def polynomial(octets, table):
    """Returns the hash of whole blocks as two words: Horner's rule in the key."""
    a, b = np.uint64(0), np.uint64(0)
    for start in range(0, len(octets), 16):
        c, d = np.uint64(0), np.uint64(0)
        for place in range(8):
            shift = np.uint64(56 - 8 * place)
            value = np.int64((a >> shift) & np.uint64(255)) ^ octets[start + place]
            c ^= table[place, value, 0]
            d ^= table[place, value, 1]
        for place in range(8):
            shift = np.uint64(56 - 8 * place)
            value = np.int64((b >> shift) & np.uint64(255)) ^ octets[start + 8 + place]
            c ^= table[8 + place, value, 0]
            d ^= table[8 + place, value, 1]
        a, b = c, d
    return a, b

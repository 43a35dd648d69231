"""The generator that the kernels of a link draw from.

It is xoshiro256++ (Blackman, Vigna, 2021, doi:10.1145/3460772); its four words travel as values,
so that they stay in registers.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

import numpy as np

from qfedfm.core.compiled import compiled
from qfedfm.core.random import Streams

TO_UNIT = 2.0**-53


def generator_state(streams: Streams, *names: str | int) -> np.ndarray:
    """Returns the generator's four words, shape (4,) uint64, of the stream under ``names``."""
    return np.frombuffer(streams.key(*names), dtype="<u8").astype(np.uint64)


@compiled
def step(s0, s1, s2, s3):
    """Returns (a 64-bit word, the next state)."""
    total = s0 + s3
    word = ((total << np.uint64(23)) | (total >> np.uint64(41))) + s0
    t = s1 << np.uint64(17)
    s2 ^= s0
    s3 ^= s1
    s1 ^= s2
    s0 ^= s3
    s2 ^= t
    s3 = (s3 << np.uint64(45)) | (s3 >> np.uint64(19))
    return word, s0, s1, s2, s3


@compiled
def below(word, bound):
    """Returns an integer in [0, bound) from the high 32 bits of ``word``; bound < 2**31, bias < 2**-32."""
    return np.int64(((word >> np.uint64(32)) * np.uint64(bound)) >> np.uint64(32))


@compiled
def shuffle(order, s0, s1, s2, s3):
    """Shuffles ``order`` in place (Fisher, Yates); returns the next state."""
    for i in range(len(order) - 1, 0, -1):
        word, s0, s1, s2, s3 = step(s0, s1, s2, s3)
        j = below(word, i + 1)
        held = order[i]
        order[i] = order[j]
        order[j] = held
    return s0, s1, s2, s3

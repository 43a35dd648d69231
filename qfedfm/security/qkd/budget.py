"""What keys cost a federation, in bits, and what a key rate can afford.

S is the number of bytes of a vector as sent; all figures are for one client and one round.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from qfedfm.core.errors import RequestError

AES_KEY_BITS = 256
PRG_SEED_BITS = 256
POLY1305_KEY_BITS = 256
WEGMAN_CARTER_BITS = 128


def aes_gcm_bits(directions: int = 1) -> int:
    """Returns the key bits of AES-256-GCM: a key for each direction."""
    return AES_KEY_BITS * directions


def one_time_pad_bits(messages: Sequence[int], authentication: int = POLY1305_KEY_BITS) -> int:
    """Returns the key bits of padding messages of so many bytes, with a one-time authentication key each."""
    return sum(8 * size + authentication for size in messages)


def prg_mask_bits(clients: int) -> int:
    """Returns the key bits of pairwise masks that are expanded from seeds; computationally hiding."""
    return PRG_SEED_BITS * (clients - 1)


def pairwise_mask_bits(size: int, clients: int) -> int:
    """Returns the key bits of information-theoretic pairwise masks of vectors of ``size`` bytes."""
    return 8 * size * (clients - 1)


def sparse_mask_bits(size: int, colluding: int) -> int:
    """Returns the same on a (t+1)-connected graph of degree t + 1 against t colluding clients."""
    return 8 * size * (colluding + 1)


def seconds(bits: float, rate: float) -> float:
    """Returns how long a link of ``rate`` bits a second makes ``bits``."""
    if rate < 0:
        raise RequestError(f"the key rate is {rate:g} bit/s; it must be at least 0")
    return math.inf if rate == 0 and bits > 0 else (0.0 if bits == 0 else bits / rate)


def lora_parameters(rank: int, matrices: int, width: int) -> int:
    """Returns the scalars of LoRA adapters of ``rank`` on square matrices of ``width``."""
    return 2 * rank * matrices * width


def affordable_rank(
    rate: float,
    round_seconds: float,
    matrices: int,
    width: int,
    bits: int,
    head: int = 0,
    directions: int = 2,
) -> int:
    """Returns the largest adapter rank whose one-time-padded exchange the link keeps up with; 0 if none.

    Args:
        rate: Key bits a second of one client's link.
        round_seconds: Seconds of a round.
        matrices: Adapted matrices.
        width: Rows and columns of each.
        bits: Bits of a number as sent.
        head: Scalars of the head, sent in any case.
        directions: 1 if only uploads are padded, 2 with broadcasts.
    """
    budget = rate * round_seconds / directions - POLY1305_KEY_BITS
    left = budget / bits - head
    return max(0, math.floor(left / (2 * matrices * width)))

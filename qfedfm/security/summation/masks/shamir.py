"""Secret sharing: any t of n shares give a 256-bit secret, fewer give nothing. Shamir, 1979.

A polynomial of degree t − 1 over the integers mod p, p = 2^256 + 297 (prime), with the secret at 0.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from functools import lru_cache

PRIME = 2**256 + 297
SECRET_BYTES, SHARE_BYTES = 32, 33


def share(secret: bytes, points: Sequence[int], threshold: int) -> dict[int, bytes]:
    """Returns the share at each of ``points``.

    Args:
        secret: 32 bytes.
        points: Different numbers from 1.
        threshold: t, at most as many as there are points.
    """
    assert (
        len(secret) == SECRET_BYTES and 1 <= threshold <= len(points) == len(set(points)) and min(points) > 0
    )
    polynomial = [int.from_bytes(secret, "big"), *(secrets.randbelow(PRIME) for _ in range(threshold - 1))]
    shares = {}
    for x in points:
        value = 0
        for coefficient in reversed(polynomial):
            value = (value * x + coefficient) % PRIME
        shares[x] = value.to_bytes(SHARE_BYTES, "big")
    return shares


def reconstruct(shares: Mapping[int, bytes], threshold: int) -> bytes:
    """Returns the secret from its shares by point.

    Raises:
        ValueError: There are fewer than ``threshold``, or they are of no 256-bit secret.
    """
    if len(shares) < threshold:
        raise ValueError(f"{len(shares)} shares of a secret of which {threshold} are needed")
    points = tuple(sorted(shares))[:threshold]
    terms = zip(points, _at_zero(points), strict=True)
    value = sum(int.from_bytes(shares[x], "big") * weight for x, weight in terms) % PRIME
    if value >= 2 ** (8 * SECRET_BYTES):
        raise ValueError("these shares belong to no secret")
    return value.to_bytes(SECRET_BYTES, "big")


@lru_cache(maxsize=64)
def _at_zero(points: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the Lagrange weights of ``points`` at 0."""
    weights = []
    for i in points:
        up, down = 1, 1
        for j in points:
            if j != i:
                up, down = up * j % PRIME, down * (j - i) % PRIME
        weights.append(up * pow(down, -1, PRIME) % PRIME)
    return tuple(weights)

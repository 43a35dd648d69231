"""Clients in small GHZ groups: less entanglement, more visibility, and the server sees each group's sum."""

from __future__ import annotations

import numpy as np


def clusters(clients: tuple[int, ...], count: int, rng: np.random.Generator) -> tuple[tuple[int, ...], ...]:
    """Returns ``count`` groups of at least two clients, equal to within one, drawn by public coins.

    Args:
        clients: Who is there.
        count: How many groups at most; with few clients there are fewer.
        rng: The coins.
    """
    count = max(1, min(count, len(clients) // 2))
    order = rng.permutation(np.array(clients))
    return tuple(tuple(sorted(int(k) for k in part)) for part in np.array_split(order, count))

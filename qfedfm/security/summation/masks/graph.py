"""Who shares masks with whom: everybody, or a sparse graph. Bell et al., 2020, doi:10.1145/3372297.3417885.

SecAgg+ takes a Harary graph (a ring in which each node knows its k/2 next on either side, hence k-connected)
on a random order of the clients. Fewer keys, shares and masks: k for each client in place of K − 1.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

Graph = Mapping[int, tuple[int, ...]]


def neighbours(clients: Sequence[int], degree: int | None, rng: np.random.Generator) -> Graph:
    """Returns each client's neighbours, ascending.

    Args:
        clients: The clients of a job.
        degree: k, even; None, or K − 1 and more, for everybody.
        rng: The public coins that order the ring.
    """
    count = len(clients)
    if degree is None or degree >= count - 1:
        return {u: tuple(v for v in clients if v != u) for u in clients}
    assert degree % 2 == 0
    ring = [clients[i] for i in rng.permutation(count)]
    steps = [s for s in range(-degree // 2, degree // 2 + 1) if s]
    return {u: tuple(sorted(ring[(i + s) % count] for s in steps)) for i, u in enumerate(ring)}


def connected(graph: Graph, among: Collection[int]) -> bool:
    """Returns whether the graph, cut down to ``among``, hangs together.

    If it did not, the masks of each part would cancel by themselves and the server would learn sums of parts.
    """
    left = set(among)
    if not left:
        return True
    ahead = [left.pop()]
    while ahead:
        found = left.intersection(graph[ahead.pop()])
        left -= found
        ahead += found
    return not left

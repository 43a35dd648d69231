"""Cascade in plain Python, as a protocol is usually written: lists of positions, a parity at a time."""

from __future__ import annotations

import math

import numpy as np

from qfedfm.core.random import Streams


def plain_cascade(alice: np.ndarray, bob: np.ndarray, error: float, passes: int = 4) -> tuple[list[int], int]:
    """Returns (Bob's corrected bits, parities disclosed) of the original protocol."""
    theirs, mine = alice.tolist(), bob.tolist()
    n, said, rng = len(mine), 0, Streams(0)("plain cascade")
    blocks_of: list[list[list[int]]] = []
    place: list[dict[int, int]] = []

    def differs(block: list[int]) -> bool:
        return bool(sum(theirs[i] for i in block) % 2 != sum(mine[i] for i in block) % 2)

    def search(block: list[int]) -> int:
        nonlocal said
        while len(block) > 1:
            half = block[: (len(block) + 1) // 2]
            said += 1
            block = half if differs(half) else block[len(half) :]
        return block[0]

    for p in range(passes):
        size = math.ceil(0.73 / error) << p
        order = list(range(n)) if p == 0 else rng.permutation(n).tolist()
        blocks = [order[k : k + size] for k in range(0, n, size)]
        blocks_of.append(blocks)
        place.append({i: number for number, block in enumerate(blocks) for i in block})
        said += len(blocks)
        waiting = [block for block in blocks if differs(block)]
        while waiting:
            waiting.sort(key=len, reverse=True)
            block = waiting.pop()
            if not differs(block):
                continue
            found = search(block)
            mine[found] ^= 1
            waiting += [b for q in range(p + 1) if differs(b := blocks_of[q][place[q][found]])]
    return mine, said

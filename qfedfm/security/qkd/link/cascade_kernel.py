"""Cascade on one frame: passes, binary searches, and every parity that Alice discloses.

Positions of pass p are a permutation of the frame; its blocks are intervals of it, halved again and again.
Intervals whose parity Bob knows (disclosed, or following from what was) are the known nodes of a binary tree
per block, in heap order; a known node is odd where Alice's and Bob's parities differ. Without reuse only the
blocks themselves are known; with reuse every half that a search has looked at stays known.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from qfedfm.core.compiled import cached, compiled, digest
from qfedfm.security.qkd.link.compiled import shuffle

UNKNOWN, EVEN, ODD = 0, 1, 2


@compiled
def _half(low, high):
    return low + (high - low + 1) // 2


@compiled
def _bob_parity(bob, order, low, high):
    parity = np.uint8(0)
    for j in range(low, high):
        parity ^= bob[order[j]]
    return parity


@compiled
def _push(queue, filled, level, p, node):
    queue[level, filled[level], 0] = p
    queue[level, filled[level], 1] = node
    filled[level] += 1


@compiled
def _toggle(position, passes, sizes, levels, place, known, n, queue, filled):
    """Bob has flipped ``position``: every known interval that holds it changes its state."""
    for p in range(passes):
        j = place[p, position]
        block, width = j // sizes[p], 2 << levels[p]
        low, high = block * sizes[p], min(n, (block + 1) * sizes[p])
        base, node, level = block * width, 1, levels[p]
        while node < width and known[p, base + node] != UNKNOWN:
            state = EVEN + ODD - known[p, base + node]
            known[p, base + node] = state
            if state == ODD:
                if filled[level] == queue.shape[1]:
                    return False
                _push(queue, filled, level, p, base + node)
            middle = _half(low, high)
            node *= 2
            if j >= middle:
                node += 1
                low = middle
            else:
                high = middle
            level -= 1
    return True


@compiled
def _interval(number, low, high):
    """The interval of node ``number`` of a block's tree: its bits after the first are the turns."""
    depth = 0
    while (number >> (depth + 1)) > 0:
        depth += 1
    for turn in range(depth - 1, -1, -1):
        middle = _half(low, high)
        if (number >> turn) & 1:
            low = middle
        else:
            high = middle
    return low, high


@compiled
def reconcile_frame(
    alice, bob, sizes, levels, reuse, order, place, known, sums, queue, filled, transcript, said, flipped
):
    """Corrects ``bob`` (n,) in place; returns (parities disclosed so far, bits flipped).

    A wrong parity can keep a search going for ever, so a frame ends after two parities a bit, corrected or
    not; verification decides.
    """
    n, corrected = len(bob), 0
    limit = said + 2 * n + 64
    first, ends = np.empty_like(filled), np.empty_like(filled)
    for p in range(len(sizes)):
        total = np.uint8(0)
        sums[p, 0] = 0
        for j in range(n):
            total ^= alice[order[p, j]]
            sums[p, j + 1] = total
        width, blocks = 2 << levels[p], -(-n // sizes[p])
        known[p, : blocks * width] = UNKNOWN
        for block in range(blocks):
            low, high = block * sizes[p], min(n, (block + 1) * sizes[p])
            parity = sums[p, high] ^ sums[p, low]
            if said == limit:
                return said, corrected
            transcript[said] = parity
            parity ^= said == flipped
            said += 1
            if parity != _bob_parity(bob, order[p], low, high):
                known[p, block * width + 1] = ODD
                _push(queue, filled, levels[p], p, block * width + 1)
            else:
                known[p, block * width + 1] = EVEN
        # A generation of odd intervals is searched side by side (a real link saves its round trips), the
        # smallest first; what their corrections turn odd is the next generation.
        first[:], ends[:], level = 0, filled, 0
        while True:
            while level < len(filled) and first[level] == ends[level]:
                level += 1
            if level == len(filled):
                if (ends == filled).all():
                    break
                ends[:], level = filled, 0
                continue
            q, node = queue[level, first[level], 0], queue[level, first[level], 1]
            first[level] += 1
            if known[q, node] != ODD:
                continue
            base = node // (2 << levels[q]) * (2 << levels[q])
            block = base // (2 << levels[q])
            number = node - base
            low, high = _interval(number, block * sizes[q], min(n, (block + 1) * sizes[q]))
            while high - low > 1:
                middle, left = _half(low, high), base + 2 * number
                if reuse and known[q, left] != UNKNOWN:
                    odd = known[q, left] == ODD
                else:
                    parity = sums[q, middle] ^ sums[q, low]
                    if said == limit:
                        return said, corrected
                    transcript[said] = parity
                    parity ^= said == flipped
                    said += 1
                    odd = parity != _bob_parity(bob, order[q], low, middle)
                    if reuse:
                        known[q, left] = ODD if odd else EVEN
                        known[q, left + 1] = EVEN if odd else ODD
                if odd:
                    high = middle
                    number = 2 * number
                else:
                    low = middle
                    number = 2 * number + 1
            bob[order[q, low]] ^= 1
            corrected += 1
            if not _toggle(order[q, low], p + 1, sizes, levels, place, known, n, queue, filled):
                return said, corrected
        filled[:] = 0
    return said, corrected


@compiled
def _permute(order, place, s0, s1, s2, s3):
    passes, n = order.shape
    for p in range(passes):
        for j in range(n):
            order[p, j] = j
        if p:
            s0, s1, s2, s3 = shuffle(order[p], s0, s1, s2, s3)
        for j in range(n):
            place[p, order[p, j]] = j
    return s0, s1, s2, s3


def _cached_reconcile(digest: int) -> Callable[..., Any]:
    @cached
    def reconcile(alice, bob, sizes, reuse, fresh, state, transcript, flipped, disclosed, corrected):
        digest  # noqa: B018  (numba finds what it compiled by the values a function closes over)
        frames, n = bob.shape
        passes = len(sizes)
        levels = np.zeros(passes, np.int64)
        widest = np.int64(0)
        for p in range(passes):
            while (1 << levels[p]) < sizes[p]:
                levels[p] += 1
            widest = max(widest, -(-n // sizes[p]) * (2 << levels[p]))
        deepest = levels.max()
        order, place = np.empty((passes, n), np.int32), np.empty((passes, n), np.int32)
        known = np.empty((passes, widest), np.uint8)
        sums = np.empty((passes, n + 1), np.uint8)
        queue = np.empty((deepest + 1, 8 * n + 64, 2), np.int64)
        filled = np.zeros(deepest + 1, np.int64)
        s0, s1, s2, s3 = state[0], state[1], state[2], state[3]
        said = 0
        for frame in range(frames):
            if frame == 0 or fresh:
                s0, s1, s2, s3 = _permute(order, place, s0, s1, s2, s3)
            before = said
            filled[:] = 0
            said, corrected[frame] = reconcile_frame(
                alice[frame], bob[frame], sizes, levels, reuse, order, place, known, sums, queue, filled,
                transcript, before, flipped,
            )  # fmt: skip
            disclosed[frame] = said - before
        return said

    function: Callable[..., Any] = reconcile
    return function


#: ``reconcile(alice (F, n), bob (F, n), sizes, reuse, fresh, state, transcript, flipped, disclosed (F,),
#: corrected (F,))`` corrects ``bob`` in place and returns how many parities Alice disclosed; ``transcript``
#: has room for 2 n + 64 a frame. ``fresh`` draws new permutations for each frame; ``flipped`` is the number
#: of the parity that is flipped on its way to Bob, -1 for none.
reconcile = _cached_reconcile(digest(__file__))

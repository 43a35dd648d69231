"""Runs a sum protocol in this process; clients vanish when a test says so."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from qfedfm.core.random import Streams
from qfedfm.security.summation import Job, Masks, Sum, Summation, SumProtocol, run_sum
from qfedfm.security.summation.masks.integers import Integers

SEED = 5


def updates(clients: int, size: int, seed: int = 0, spread: float = 0.1) -> dict[int, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {k: rng.normal(0, spread, size).astype(np.float32) for k in range(clients)}


def job(found: Mapping[int, np.ndarray], number: int = 0) -> Job:
    size = len(next(iter(found.values())))
    shares = {k: 1.0 + k % 3 for k in found}
    whole = sum(shares.values())
    return Job(number, tuple(sorted(found)), {k: n / whole for k, n in shares.items()}, size, "schema")


def add_up(
    protocol: SumProtocol,
    found: Mapping[int, np.ndarray],
    *,
    leaves: Mapping[int, str] | None = None,
    number: int = 0,
    summation: Summation | None = None,
    spy=None,
) -> Sum:
    """Returns the sum; ``leaves`` says from which phase on a client is silent, ``spy`` sees each reply."""
    leaves = leaves or {}
    summation = summation or protocol.open(Streams(SEED))
    what = job(found, number)
    server = summation.server(what)
    ends = {k: summation.client(what, k, found[k]) for k in what.clients}
    gone: set[int] = set()

    def exchange(phase, messages):
        gone.update(k for k, at in leaves.items() if at == phase)
        replies = {k: ends[k].reply(phase, message) for k, message in messages.items() if k not in gone}
        if spy is not None:
            spy(phase, messages, replies)
        return replies

    return run_sum(protocol, server, exchange)


def true_sum(found: Mapping[int, np.ndarray], who) -> np.ndarray:
    weights = job(found).weights
    return sum(weights[k] * found[k].astype(np.float64) for k in who)


def integer_sum(options: Masks, found: Mapping[int, np.ndarray], who, number: int = 0) -> np.ndarray:
    """The sum of the quantised updates, as floats of exactly these integers."""
    what = job(found, number)
    integers = Integers(options.bits, len(found), options.bound)
    total = np.zeros(what.size, np.int64)
    for k in who:
        words, _ = integers.encode(found[k], what.weights[k], Streams(SEED)("rounding", number, k))
        total += integers.signed(words)
    assert np.abs(total).max() < 2 ** (options.bits - 1)
    return total / integers.scale

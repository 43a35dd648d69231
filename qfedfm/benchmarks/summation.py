"""Sum protocols on one core: masks beside their keystreams, the sum beside a copy, CKKS beside TenSEAL.

Each ratio is taken in one process, both sides in turns. Shapes: d = numbers of an update, K = clients.
"""

from __future__ import annotations

import importlib.util
import os
import time
from typing import Any

import numpy as np

from qfedfm.benchmarks.timing import interleaved
from qfedfm.security.summation.masks.integers import CHUNK, Integers, add_messages, message_bytes
from qfedfm.security.summation.masks.keystream import add_masks

BLOCK = 16


def measure(size: int = 10_000_000, clients: int = 20, seconds: float = 3.0) -> dict[str, Any]:
    """Returns medians and ratios.

    Args:
        size: d.
        clients: K.
        seconds: How long both sides of a ratio take turns.
    """
    found: dict[str, Any] = {
        "masks": _masks(size, clients, seconds),
        "quantisation": _quantisation(size, clients),
        "server_sum": [_server(size, clients, bits, seconds) for bits in (16, 24, 32)],
    }
    if importlib.util.find_spec("tenseal") is not None:
        found["ckks"] = _ckks(min(size, 100_000), seconds)
    return found


def _masks(size: int, clients: int, seconds: float) -> dict[str, Any]:
    """Generating and adding a client's masks, its own and K − 1 of pairs, against generating them."""
    keys = [(os.urandom(32), 1 if k % 2 else -1) for k in range(clients)]
    words = np.zeros(size, np.uint32)
    found = interleaved(
        {"masks": lambda: add_masks(words, keys), "keystreams": lambda: keystreams(keys, size)}, seconds
    )
    return {
        "numbers": size,
        "keys": clients,
        "masks_seconds": found["masks"],
        "keystreams_seconds": found["keystreams"],
        "keystream_gigabytes_per_second": 4 * size * clients / found["keystreams"] / 1e9,
        "masks_over_keystreams": found["masks"] / found["keystreams"],
        "asked_for": "at most 1.5",
    }


def keystreams(keys: list[tuple[bytes, int]], size: int) -> None:
    """Generates every keystream chunk by chunk and forgets it: the peer, the ``cryptography`` package."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    streams = [Cipher(algorithms.AES(key), modes.CTR(bytes(BLOCK))).encryptor() for key, _ in keys]
    zeros, buffer = bytes(4 * CHUNK), bytearray(4 * CHUNK + BLOCK)
    for start in range(0, size, CHUNK):
        plain = zeros[: 4 * min(CHUNK, size - start)]
        for stream in streams:
            stream.update_into(plain, buffer)


def _quantisation(size: int, clients: int) -> dict[str, Any]:
    """Rounding an update to integers, once."""
    update = np.random.default_rng(0).standard_normal(size, np.float32)
    integers, rng = Integers(24, clients, 4.0), np.random.default_rng(1)
    began = time.perf_counter()
    integers.encode(update, 1 / clients, rng)
    return {"numbers": size, "seconds": time.perf_counter() - began}


def _server(size: int, clients: int, bits: int, seconds: float) -> dict[str, Any]:
    """Adding up all clients' messages, against copying them."""
    length = message_bytes(size, bits)
    rng = np.random.default_rng(0)
    messages = [rng.integers(0, 256, length, np.uint8) for _ in range(clients)]
    sent = [message.tobytes() for message in messages]
    target = np.empty(length, np.uint8)

    def copy() -> None:
        for message in messages:
            np.copyto(target, message)

    found = interleaved({"sum": lambda: add_messages(sent, size, bits), "copy": copy}, seconds)
    return {
        "bits": bits,
        "sum_seconds": found["sum"],
        "sum_gigabytes_per_second": clients * length / found["sum"] / 1e9,
        "copy_gigabytes_per_second": clients * length / found["copy"] / 1e9,
        "bandwidth_over_copy": found["copy"] / found["sum"],
        "asked_for": "at least 0.5",
    }


def _ckks(size: int, seconds: float) -> dict[str, Any]:
    """A whole sum of two clients, against the same calls of TenSEAL in a row."""
    import tenseal

    from qfedfm.core.random import Streams
    from qfedfm.security.summation import Ckks, Job, run_sum
    from qfedfm.security.summation.ckks import DEGREE, MODULI, SCALE, SLOTS

    protocol = Ckks(decryptors=1)
    summation = protocol.open(Streams(0))
    rng = np.random.default_rng(0)
    updates = [(rng.standard_normal(size, np.float32) / 10).astype(np.float32) for _ in range(2)]
    job = Job(0, (0, 1), {0: 0.5, 1: 0.5}, size)

    def ours() -> None:
        ends = [summation.client(job, k, updates[k]) for k in range(2)]
        run_sum(
            protocol,
            summation.server(job),
            lambda phase, messages: {k: ends[k].reply(phase, m) for k, m in messages.items()},
        )

    context = tenseal.context(tenseal.SCHEME_TYPE.CKKS, DEGREE, coeff_mod_bit_sizes=list(MODULI))
    context.global_scale = SCALE
    halves = [(update / 2).astype(np.float64) for update in updates]

    def theirs() -> None:
        for start in range(0, size, SLOTS):
            sent = [
                tenseal.ckks_vector(context, h[start : start + SLOTS].tolist()).serialize() for h in halves
            ]
            first, second = (tenseal.ckks_vector_from(context, part) for part in sent)
            tenseal.ckks_vector_from(context, first.add_(second).serialize()).decrypt()

    found = interleaved({"ours": ours, "tenseal": theirs}, seconds, least=3)
    return {
        "numbers": size,
        "seconds": found["ours"],
        "tenseal_seconds": found["tenseal"],
        "over_tenseal": found["ours"] / found["tenseal"],
        "asked_for": "at most 1.2",
    }

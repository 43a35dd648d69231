"""Key distribution on one core: pulses, Cascade, privacy amplification, a whole link, a finite-key point.

The named peers run in the same process on smaller inputs: Cascade as a plain Python protocol over blocks
(what public Python implementations do), and privacy amplification as one big transform of scipy for each key.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.fft

from qfedfm.benchmarks.peers.plain_cascade import plain_cascade
from qfedfm.core.random import Streams
from qfedfm.security.qkd.link.carryless_kernel import supported
from qfedfm.security.qkd.link.cascade import reconcile
from qfedfm.security.qkd.link.outcome import Key
from qfedfm.security.qkd.link.pulses import send_pulses
from qfedfm.security.qkd.link.session import process, pulses_for
from qfedfm.security.qkd.link.toeplitz import ToeplitzHash, random_bits
from qfedfm.security.qkd.rates import preset
from qfedfm.security.qkd.rates.lim_optimum import decoy_finite, optimised

REPEATS = 5


def measure(repeats: int = REPEATS) -> dict[str, Any]:
    """Returns medians of ``repeats`` runs after one that compiles, and ratios against the peers."""
    return {
        "pulses": _pulses(repeats),
        "cascade": _cascade(repeats),
        "privacy_amplification": _amplification(repeats),
        "link": _link(repeats),
        "finite_key_point": _finite(),
    }


def _seconds(call: Callable[[], object], repeats: int) -> float:
    call()
    found = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        found.append(time.perf_counter() - began)
    return statistics.median(found)


def _pulses(repeats: int) -> dict[str, Any]:
    count, link = 8_000_000, preset("gys")
    seconds = _seconds(lambda: send_pulses(link, 25, count, Streams(0)), repeats)
    return {
        "what": "GYS link, 25 km, weak pulses with decoys",
        "million_pulses_per_second": count / seconds / 1e6,
    }


def _keys(bits: int, error: float) -> tuple[np.ndarray, np.ndarray]:
    rng = Streams(0)("benchmark", bits)
    alice = rng.integers(0, 2, bits, dtype=np.uint8)
    return alice, alice ^ (rng.random(bits) < error).astype(np.uint8)


def _cascade(repeats: int) -> dict[str, Any]:
    alice, bob = _keys(1_000_000, 0.03)
    few_alice, few_bob = _keys(10_000, 0.03)
    peer = len(few_bob) / _seconds(lambda: plain_cascade(few_alice, few_bob, 0.03), 1) / 1e6
    found: dict[str, Any] = {"what": "1 Mbit in frames of 10^4 at 3 %", "peer": "plain Python Cascade"}
    found["peer_mbit_per_second"] = peer
    for kind in ("original", "option4", "option7"):

        def call(kind: str = kind) -> object:
            return reconcile(alice, bob, 0.03, Streams(0), kind=kind, fresh=False)

        speed = len(bob) / _seconds(call, repeats) / 1e6
        found[f"{kind}_mbit_per_second"] = speed
        found[f"{kind}_ratio"] = speed / peer
        found[f"{kind}_efficiency"] = reconcile(alice, bob, 0.03, Streams(0), kind=kind).efficiency(0.03)
    return found


def _amplification(repeats: int) -> dict[str, Any]:
    bits, found = (
        1_000_000,
        {"what": "keys of 10^6 bits, one seed for a session of 4", "peer": "one rfft per key"},
    )
    result: dict[str, Any] = {**found, "carryless_multiplication": supported()}
    for share in (0.3, 0.5):
        outputs = int(bits * share)
        seed = random_bits(bits + outputs - 1)
        keys = Streams(0)("amplification").integers(0, 2, (4, bits), dtype=np.uint8)
        member, fourier = (ToeplitzHash(seed, bits, outputs, method) for method in ("auto", "fourier"))
        ours = keys.size / _seconds(lambda m=member, k=keys: m(k), repeats) / 1e6  # type: ignore[misc]
        other = keys.size / _seconds(lambda m=fourier, k=keys: m(k), repeats) / 1e6  # type: ignore[misc]
        peer = bits / _seconds(lambda s=seed, k=keys, o=outputs: _one_transform(s, k[0], o), repeats) / 1e6  # type: ignore[misc]
        name = f"to_{round(100 * share)}_percent"
        result |= {f"{name}_mbit_per_second": ours, f"{name}_peer": peer, f"{name}_ratio": ours / peer}
        result |= {f"{name}_fourier": other, f"{name}_fourier_ratio": other / peer}
        result[f"{name}_fourier_rounding_error"] = fourier.rounding_error
    return result


def _one_transform(seed: np.ndarray, key: np.ndarray, outputs: int) -> np.ndarray:
    length = scipy.fft.next_fast_len(len(seed) + len(key) - 1, real=True)
    product = scipy.fft.rfft(seed.astype(float), length) * scipy.fft.rfft(key.astype(float), length)
    counts = scipy.fft.irfft(product, length)[len(key) - 1 : len(key) - 1 + outputs]
    return np.rint(counts).astype(np.int64) & 1


def _link(repeats: int) -> dict[str, Any]:
    link = optimised(preset("modern_fibre"), 25, 1e6)
    detections = send_pulses(link, 25, pulses_for(link, 25, 1e6), Streams(0))
    outcome = process(detections, link, Streams(0))
    assert isinstance(outcome, Key), "the benchmark's link gives a key"
    seconds = _seconds(lambda: process(detections, link, Streams(0)), repeats)
    return {
        "what": "sifting, estimation, Cascade, verification, amplification, authentication; 25 km",
        "sifted_mbit_per_second": outcome.statistics.raw_bits / seconds / 1e6,
        "key_mbit_per_second": len(outcome.alice) / seconds / 1e6,
    }


def _finite() -> dict[str, Any]:
    link = preset("lim2014")
    seconds = []
    for distance in (1.0, 21.0, 41.0, 61.0, 81.0, 101.0, 121.0):  # the result of a point is kept: new points
        began = time.perf_counter()
        decoy_finite(link, distance, 1e7)
        seconds.append(time.perf_counter() - began)
    return {
        "what": "Lim et al., 2014, intensities optimised",
        "milliseconds": 1e3 * statistics.median(seconds),
    }

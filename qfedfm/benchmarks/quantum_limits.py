"""What a step of the compiled statevector cannot be faster than on this machine: arithmetic and memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qfedfm.circuits import Circuit

_LANES = 16


@dataclass(frozen=True)
class Work:
    """What one forward and backward step has to do at least, in float32.

    Attributes:
        flops: Floating-point operations of its gates and observables.
        bytes: Bytes of states that these read and write, were nothing kept in registers.
        working_set: Bytes of state and co-state of one tile of samples.
    """

    flops: float
    bytes: float
    working_set: int


def work(circuit: Circuit, samples: int) -> Work:
    """Returns the work of ``samples`` samples, in whole tiles of 16 as the kernel runs them.

    A fused 2x2 gate costs 28 operations a pair of amplitudes (4 sums of 4 products); taking it back on
    state and co-state with its three derivatives costs 80. A permutation moves the state once forward, and
    state and co-state once backward.
    """
    import numpy as np

    from qfedfm.quantum import kernel_tables as kernel
    from qfedfm.quantum.statevector_tables import build

    ops = build(circuit, np.float32).ops[:, 0]
    size = 2**circuit.qubits
    gates = int(np.isin(ops, (kernel.WEIGHT_GATE, kernel.LANE_GATE)).sum())
    others = int(np.isin(ops, (kernel.PERMUTE, kernel.SIGNS, kernel.PAULI)).sum())
    # The product state is as much as one gate on the last qubit, twice over.
    flops = size * ((gates + 1) * (28 + 80) / 2 + 4 * circuit.n_observables)
    state = 8 * size
    moved = state * ((gates + others) * (2 + 4) + 6)
    lanes = -(-samples // _LANES) * _LANES
    return Work(flops * lanes, moved * lanes, 2 * state * _LANES)


def _best(call: Callable[[], object], seconds: float = 0.3) -> float:
    call()
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - began)
    return best


@lru_cache(maxsize=1)
def peak_flops() -> float:
    """Returns the float32 operations a second of a matrix product on the threads torch has."""
    import torch

    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    out = torch.empty(1024, 1024)
    return 2 * 1024**3 / _best(lambda: torch.mm(a, b, out=out))


@lru_cache(maxsize=64)
def bandwidth(working_set: int) -> float:
    """Returns the bytes a second (read and written) of multiplying an array of this size in place."""
    import torch

    numbers = max(1024, working_set // 4)
    array = torch.ones(numbers)
    repeats = max(1, (1 << 24) // numbers)

    def multiply() -> None:
        for _ in range(repeats):
            array.mul_(1.0)

    return 8 * numbers * repeats / _best(multiply)


def distance(circuit: Circuit, samples: int, seconds: float) -> dict[str, float]:
    """Returns how many times longer a step takes than arithmetic alone and memory alone would."""
    needed = work(circuit, samples)
    arithmetic = needed.flops / peak_flops()
    memory = needed.bytes / bandwidth(needed.working_set)
    return {
        "gflops": needed.flops / seconds / 1e9,
        "times_arithmetic_limit": seconds / arithmetic,
        "times_memory_limit": seconds / memory,
    }

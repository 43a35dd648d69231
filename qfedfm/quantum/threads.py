"""Ordinary threads for compiled code that lets go of Python's lock.

They sleep when there is nothing to do, unlike those of OpenMP, which would spin and take the processor from
torch and from other processes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache


@lru_cache(maxsize=1)
def _pool(process: int) -> ThreadPoolExecutor:
    # By process: threads do not survive a fork.
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="qfedfm-statevector")


def run_parallel(calls: Sequence[Callable[[], None]]) -> None:
    """Runs calls side by side, the last of them on this thread; raises what any of them raised."""
    waiting = [_pool(os.getpid()).submit(call) for call in calls[:-1]]
    try:
        calls[-1]()
    finally:
        for future in waiting:
            future.result()

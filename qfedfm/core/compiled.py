"""How the numba kernels of the package are compiled and cached on disk."""

# mypy: disable-error-code="no-untyped-call, untyped-decorator"

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit
from numba.core.caching import FunctionCache
from numba.core.runtime import rtsys

compiled = njit(nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""For functions that only other kernels call."""


def cached(function: Callable[..., Any]) -> Any:
    """Compiles ``function`` at its first call, keeps the result on disk, and loads it from there later.

    Loading is numba's own but for one thing: numba first imports all of its registries and SciPy's linear
    algebra (0.4 to 0.9 s), which only compiling needs.
    """
    kernel = njit(cache=True, nogil=True, error_model="numpy", no_cfunc_wrapper=True)(function)
    if hasattr(kernel, "_cache") and hasattr(FunctionCache, "_load_overload"):
        kernel._cache = _LeanCache(kernel.py_func)
    return kernel


def digest(*files: str | None) -> int:
    """Returns a number that changes with the content of ``files`` and of this one.

    Numba looks at the file of a cached function alone to see whether its cache is stale; a function that
    closes over this number is compiled again when anything that it calls changes.
    """
    content = b"".join(Path(str(file)).read_bytes() for file in (*files, __file__))
    return int.from_bytes(hashlib.sha256(content).digest()[:7], "big")


class _LeanCache(FunctionCache):  # type: ignore[misc]
    """Numba's cache of a function; what is found is loaded with numba's run time and nothing more."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        rtsys.initialize(target_context)
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)

"""Arrays for vector instructions."""

from __future__ import annotations

from typing import Any

import numpy as np


def aligned(count: int, dtype: Any) -> Any:
    """Returns space for ``count`` numbers that begins at a cache line, as vectors like it."""
    size = count * np.dtype(dtype).itemsize
    raw = np.empty(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size].view(dtype)

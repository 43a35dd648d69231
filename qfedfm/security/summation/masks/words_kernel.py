"""The compiled loop of the server's sum of 24-bit numbers."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

import numpy as np

from qfedfm.core.compiled import cached


@cached
def add_planes(total, low, high):
    """Adds numbers given as a plane of uint16 and one of uint8 to uint32 ``total``, in place, mod 2^32."""
    for i in range(total.size):
        total[i] += np.uint32(low[i]) + (np.uint32(high[i]) << np.uint32(16))

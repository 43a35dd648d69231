"""A Toeplitz matrix times bits by real transforms, for processors that do not multiply without carries.

The matrix is cut into square blocks of side B, each of which is part of a circulant matrix of side 2B: one
transform per piece of the input, one per piece of the output, and a sum of products in between, all of a size
that stays in the cache. Two keys share a transform where the rounding error allows it: the second is shifted
by more bits than any count of the first can have.
"""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from qfedfm.security.qkd.link.toeplitz_fourier_kernel import sum_products

Bits = NDArray[np.uint8]
LARGEST_ERROR = 0.1
"""Counts are integers; a transform further from them than this is a bug, not noise."""
MOST_PACKED = 1 << 21
"""Keys longer than this are transformed alone: packed, the rounding error could come near the limit."""
SIDE = 1 << 16
"""Largest side of a square block."""


class FourierProduct:
    """One matrix.

    Args:
        seed: Its bits, shape (inputs + outputs - 1,).
        inputs: Columns, n.
        outputs: Rows, m.

    Attributes:
        rounding_error: The largest distance of a count from an integer so far; asserted below 0.1.
    """

    def __init__(self, seed: Bits, inputs: int, outputs: int) -> None:
        self._inputs, self._outputs = inputs, outputs
        self._shift = inputs.bit_length()
        side = min(SIDE, scipy.fft.next_fast_len(max(inputs, outputs), real=True))
        self._side = side
        self._columns, self._rows = -(-inputs // side), -(-outputs // side)
        # Bits of +-1/2 have no constant part, which would carry almost all of the rounding error.
        centred = np.zeros((self._rows + self._columns + 1) * side)
        start = self._columns * side - inputs + 1  # where seed bit 0, the lowest i - j + n - 1, comes to lie
        centred[start : start + len(seed)] = seed - 0.5
        windows = np.empty((self._rows + self._columns - 1, 2 * side))
        for d in range(len(windows)):
            # Differences -B..B-1 around the diagonal of block d, the negative ones wrapped to the end.
            windows[d, side:] = centred[d * side : (d + 1) * side]
            windows[d, :side] = centred[(d + 1) * side : (d + 2) * side]
        self._seed = scipy.fft.rfft(windows, axis=1, overwrite_x=True)
        self.rounding_error = 0.0

    def __call__(self, blocks: Bits, out: Bits) -> None:
        """Writes the hashes of ``blocks``, shape (count, inputs), to ``out``, shape (count, outputs)."""
        together = 2 if self._inputs <= MOST_PACKED else 1
        for k in range(0, len(blocks), together):
            self._hash(blocks[k : k + together], out[k : k + together])

    def _hash(self, blocks: Bits, out: Bits) -> None:
        side = self._side
        padded = np.zeros((self._columns, 2 * side))
        flat = np.zeros(self._columns * side)
        flat[: self._inputs] = blocks[0]
        for k in range(1, len(blocks)):
            flat[: self._inputs] += float(1 << (k * self._shift)) * blocks[k]
        padded[:, :side] = flat.reshape(self._columns, side)
        spectra = scipy.fft.rfft(padded, axis=1, overwrite_x=True)
        sums = np.empty((self._rows, side + 1), dtype=np.complex128)
        sum_products(spectra, self._seed, sums)
        counts = scipy.fft.irfft(sums, axis=1, overwrite_x=True)[:, :side].reshape(-1)[: self._outputs]
        # The centred seed took half a count for each input bit that is set; whole counts are added back last,
        # so that the rounding error is measured where numbers are small.
        taken = sum(int(block.sum(dtype=np.int64)) << (k * self._shift) for k, block in enumerate(blocks))
        counts = counts + 0.5 * (taken % 2)
        integers = np.rint(counts)
        error = float(np.abs(counts - integers).max())
        assert error < LARGEST_ERROR, f"rounding error {error:.3f} in a Toeplitz transform"
        self.rounding_error = max(self.rounding_error, error)
        whole = integers.astype(np.int64) + taken // 2
        for k in range(len(blocks)):
            out[k] = (whole >> (k * self._shift)) & 1

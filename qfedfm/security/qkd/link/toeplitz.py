"""Privacy amplification by a random Toeplitz matrix. Krawczyk, 1994; Bennett et al., 1995.

Entry (i, j) of the m x n matrix is seed bit i - j + n - 1.
"""

from __future__ import annotations

import secrets
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from qfedfm.core.errors import RequestError
from qfedfm.security.qkd.link.carryless_kernel import supported
from qfedfm.security.qkd.link.toeplitz_carryless import CarrylessProduct
from qfedfm.security.qkd.link.toeplitz_fourier import FourierProduct

Bits = NDArray[np.uint8]


def random_bits(count: int) -> Bits:
    """Returns ``count`` bits from the operating system, shape (count,)."""
    octets = np.frombuffer(secrets.token_bytes(-(-count // 8)), dtype=np.uint8)
    return np.unpackbits(octets)[:count]


class ToeplitzHash:
    """A member of the 2-universal family of Toeplitz matrices.

    The same member may hash all blocks of one session: by the leftover hash lemma with a shared seed the
    distances from uniform add up, so ``blocks`` blocks are ``blocks * eps`` secret.

    Args:
        seed: The public seed, shape (inputs + outputs - 1,).
        inputs: Bits of a block, n.
        outputs: Bits of its hash, m <= n.
        method: How the product is formed; both give the same bits. ``auto`` is carry-less multiplication
            where the processor has it, else real transforms.
    """

    def __init__(
        self,
        seed: Bits,
        inputs: int,
        outputs: int,
        method: Literal["auto", "carryless", "fourier"] = "auto",
    ) -> None:
        if not 1 <= outputs <= inputs:
            raise RequestError(f"a Toeplitz hash makes at most its {inputs} input bits, not {outputs}")
        if len(seed) != inputs + outputs - 1:
            raise RequestError(
                f"the Toeplitz seed has {len(seed)} bits; {inputs} inputs and {outputs} outputs need "
                f"{inputs + outputs - 1}"
            )
        self.inputs, self.outputs = inputs, outputs
        if method == "carryless" and not supported():
            raise RequestError("this processor does not multiply without carries; use method auto or fourier")
        carryless = supported() if method == "auto" else method == "carryless"
        self._product = (CarrylessProduct if carryless else FourierProduct)(seed, inputs, outputs)

    @staticmethod
    def fresh(inputs: int, outputs: int) -> ToeplitzHash:
        """Returns a member drawn from the operating system."""
        return ToeplitzHash(random_bits(inputs + outputs - 1), inputs, outputs)

    def __call__(self, blocks: Bits) -> Bits:
        """Returns the hashes, shape (count, outputs), of blocks of shape (count, inputs).

        A single block of shape (inputs,) gives shape (outputs,).
        """
        if blocks.ndim == 1:
            single: Bits = self(blocks[None])[0]
            return single
        if blocks.shape[1] != self.inputs:
            raise RequestError(f"blocks have {blocks.shape[1]} bits; this Toeplitz hash takes {self.inputs}")
        result = np.empty((len(blocks), self.outputs), dtype=np.uint8)
        self._product(blocks, result)
        return result

    @property
    def rounding_error(self) -> float:
        """The largest rounding error of a count so far, asserted below 0.1; 0 where nothing is rounded."""
        return self._product.rounding_error

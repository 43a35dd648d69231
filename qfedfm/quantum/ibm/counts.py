"""What was measured, PUB by PUB: bit strings and how often, as arrays and as JSON.

k = different bit strings, b = measured bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Distribution:
    """Bit strings of one circuit at one point.

    Attributes:
        bits: Shape (k, b), 0 or 1; bit j is the j-th of the register.
        share: How often each was seen, shape (k,), adds up to 1.
        shots: How many there were; None for exact probabilities.
    """

    bits: npt.NDArray[np.uint8]
    share: Floats
    shots: int | None

    @staticmethod
    def of_counts(counts: dict[str, int]) -> Distribution:
        """Returns what counts by bit string say; the last character is bit 0, as Qiskit writes it."""
        shots = sum(counts.values())
        rows = [[int(character) for character in reversed(key)] for key in counts]
        return Distribution(
            np.array(rows, dtype=np.uint8).reshape(len(counts), -1),
            np.array(list(counts.values()), dtype=float) / shots,
            shots,
        )

    @staticmethod
    def of_probabilities(probabilities: Floats, bits: int) -> Distribution:
        """Returns exact probabilities, shape (2**bits,), whose index has bit 0 as its lowest."""
        index = np.arange(2**bits)
        return Distribution(
            ((index[:, None] >> np.arange(bits)) & 1).astype(np.uint8), np.asarray(probabilities), None
        )


def counts_of(result: Any, samples: list[int]) -> list[list[dict[str, int]]]:
    """Returns the counts of a Sampler's result: for each PUB, for each point, by bit string.

    Args:
        result: A ``PrimitiveResult``.
        samples: How many points each PUB has.
    """
    from qfedfm.quantum.ibm.program import REGISTER

    found = []
    for pub, points in zip(result, samples, strict=True):
        bits = getattr(pub.data, REGISTER)
        where = [()] if not bits.shape else [(point,) for point in range(points)]
        found.append([{str(k): int(v) for k, v in bits.get_counts(place).items()} for place in where])
    return found

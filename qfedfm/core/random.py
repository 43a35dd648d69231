"""Named random streams: every draw is a function of the seed and of what it is for.

A stream is a path of names under one seed; its key is the SHA-256 of both. There is no state to
carry: the numbers of round 7 do not depend on whether rounds 1 to 6 ran in this process, so a
resumed run draws what an uninterrupted one would have drawn, and clients may be trained in any order.
These streams are for simulation only; key material comes from ``secrets`` or the simulated link.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.random.bit_generator import ISeedSequence

if TYPE_CHECKING:
    import torch


class _Key(ISeedSequence):
    """Hands Philox its key of 16 bytes, least significant first.

    The same generator as ``Philox(key=...)``, which takes twice as long: it asks the system
    for entropy first.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def generate_state(self, n_words: int, dtype: Any = np.uint64) -> np.ndarray:
        """Returns the key as two words."""
        return np.frombuffer(self._key, "<u8").astype(np.uint64)


@dataclass(frozen=True)
class Streams:
    """A tree of random streams.

    Args:
        seed: The experiment's seed, any integer.
        path: The names from the root to here.
    """

    seed: int
    path: tuple[str | int, ...] = ()

    def at(self, *names: str | int) -> Streams:
        """Returns the subtree under ``names``, for example ``streams.at("round", 3)``."""
        return Streams(self.seed, self.path + names)

    def key(self, *names: str | int) -> bytes:
        """Returns the 32-byte key of the stream under ``names``."""
        text = "\x1f".join([str(int(self.seed)), *(f"{type(n).__name__}:{n}" for n in self.path + names)])
        return hashlib.sha256(text.encode()).digest()

    def __call__(self, *names: str | int) -> np.random.Generator:
        """Returns a fresh numpy generator (Philox) for the stream under ``names``."""
        return np.random.Generator(np.random.Philox(_Key(self.key(*names)[15::-1])))  # type: ignore[arg-type]

    def integer(self, *names: str | int) -> int:
        """Returns a 63-bit seed for the stream under ``names``."""
        return int.from_bytes(self.key(*names)[:8], "big") >> 1

    def torch(self, *names: str | int, device: str = "cpu") -> torch.Generator:
        """Returns a fresh torch generator for the stream under ``names``."""
        import torch

        generator = torch.Generator(device=device)
        generator.manual_seed(self.integer(*names))
        return generator

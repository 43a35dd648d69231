"""Named random streams: every draw is a function of the seed and of what it is for.

A stream is a path of names under one seed; its key is the SHA-256 of both. There is no state to
carry: the numbers of round 7 do not depend on whether rounds 1 to 6 ran in this process, so a
resumed run draws what an uninterrupted one would have drawn, and clients may be trained in any order.
These streams are for simulation only; key material comes from ``secrets`` or the simulated link.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


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
        return np.random.Generator(np.random.Philox(key=int.from_bytes(self.key(*names)[:16], "big")))

    def integer(self, *names: str | int) -> int:
        """Returns a 63-bit seed for the stream under ``names``."""
        return int.from_bytes(self.key(*names)[:8], "big") >> 1

    def torch(self, *names: str | int, device: str = "cpu") -> torch.Generator:
        """Returns a fresh torch generator for the stream under ``names``."""
        import torch

        generator = torch.Generator(device=device)
        generator.manual_seed(self.integer(*names))
        return generator

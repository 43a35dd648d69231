"""Quantisation: numbers travel as int8 or int4, with error feedback. Alistarh et al., 2017, arXiv:1610.02132.

Each tensor x becomes integers q in ±(2^(bits-1) − 1) and one scale, ``x ≈ scale · q`` with
``scale = max |x| / (2^(bits-1) − 1)``. ``stochastic`` rounds up with the probability of the remainder, so
that the expectation is x; otherwise to the nearest. Two int4 share a byte.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from qfedfm.core.errors import UpdateRefusedError
from qfedfm.core.tensors import Layout
from qfedfm.core.update import Update
from qfedfm.federation.stages.base import Stage

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SCALE, CODES = "|scale", "|codes"


class Quantize(Stage):
    """Every float32 tensor of the difference, each with its own scale.

    Args:
        bits: 8 or 4.
        rounding: ``nearest`` or ``stochastic``.
        error_feedback: Whether the client keeps what rounding lost and adds it to its next difference.
    """

    kind: Literal["quantize"] = "quantize"
    bits: Literal[8, 4] = 8
    rounding: Literal["nearest", "stochastic"] = "nearest"
    error_feedback: bool = True

    compresses: ClassVar[bool] = True

    @property
    def largest(self) -> int:
        """The largest code."""
        return int(2 ** (self.bits - 1) - 1)

    def on_client(self, update: Update, rng: np.random.Generator) -> Update:
        """Returns codes and scales in place of float32 tensors; others pass."""
        import torch

        packed: dict[str, Tensor] = {}
        for name, tensor in update.delta.items():
            if tensor.dtype != torch.float32:
                packed[name] = tensor
                continue
            flat = tensor.reshape(-1)
            scale = flat.abs().max() / self.largest if len(flat) else flat.new_zeros(())
            exact = flat / scale if float(scale) > 0 else torch.zeros_like(flat)
            if self.rounding == "stochastic":
                exact = (exact + torch.from_numpy(rng.random(len(flat))).to(exact)).floor()
            codes = exact.round().clamp(-self.largest, self.largest).to(torch.int8)
            packed[name + SCALE], packed[name + CODES] = scale.reshape(1), self._pack(codes)
        return replace(update, delta=packed)

    def unpack(self, update: Update, layout: Layout) -> Update:
        """Returns float32 tensors ``scale · q``."""
        import torch

        found: dict[str, Tensor] = {}
        for name, tensor in update.delta.items():
            if name.endswith(SCALE):
                continue
            if not name.endswith(CODES):
                found[name] = tensor
                continue
            stem = name.removesuffix(CODES)
            scale = update.delta.get(stem + SCALE)
            dtype = torch.int8 if self.bits == 8 else torch.uint8
            if scale is None or scale.shape != (1,) or scale.dtype != torch.float32 or tensor.dtype != dtype:
                raise UpdateRefusedError(f"{stem!r} is not quantised to {self.bits} bits")
            codes = self._unpack(tensor)
            if stem in layout.slices:
                start, stop, shape = layout.slices[stem]
                if len(codes) - (stop - start) not in ((0,) if self.bits == 8 else (0, 1)):
                    raise UpdateRefusedError(f"{stem!r} has {len(codes)} codes, expected {stop - start}")
                codes = codes[: stop - start].reshape(shape)
            found[stem] = codes.float() * scale
        # Of values that lie in no layout (those of top-k) only their places say how many there are.
        for name, tensor in found.items():
            if name not in layout.slices and tensor.dtype == torch.float32:
                count = max((len(t) for t in found.values() if t.dtype == torch.int32), default=len(tensor))
                found[name] = tensor[:count]
        if set(found) == set(layout.names):
            return replace(update, delta=layout.view(layout.flatten(found)))
        return replace(update, delta=found)

    def _pack(self, codes: Tensor) -> Tensor:
        import torch

        if self.bits == 8:
            return codes
        nibbles = (codes.to(torch.int16) + 8).to(torch.uint8)
        if len(nibbles) % 2:
            nibbles = torch.cat([nibbles, nibbles.new_full((1,), 8)])
        return nibbles[0::2] | (nibbles[1::2] << 4)

    def _unpack(self, packed: Tensor) -> torch.Tensor:
        import torch

        if self.bits == 8:
            return packed.reshape(-1)
        flat = packed.reshape(-1)
        pairs = torch.stack([flat & 15, flat >> 4], dim=1).reshape(-1)
        return (pairs.to(torch.int16) - 8).to(torch.int8)

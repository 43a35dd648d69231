"""Top-k: only the largest numbers travel, with error feedback. Stich et al., 2018, arXiv:1809.07599.

What is not sent is kept by the client and added to its next difference, so that nothing is lost for good.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from qfedfm.core.errors import UpdateRefusedError
from qfedfm.core.tensors import Layout
from qfedfm.core.update import Update
from qfedfm.federation.stages.base import Stage

VALUES, PLACES = "topk.values", "topk.places"


class TopK(Stage):
    """Values (float32) and their places (int32) in the difference.

    Args:
        fraction: The part of the numbers that travels; at least one does.
        error_feedback: Whether the client keeps what it did not send.
    """

    kind: Literal["topk"] = "topk"
    fraction: Annotated[float, Field(gt=0, le=1)] = 0.1
    error_feedback: bool = True

    compresses: ClassVar[bool] = True

    def count(self, size: int) -> int:
        """Returns how many of ``size`` numbers travel."""
        return min(size, max(1, round(self.fraction * size)))

    def on_client(self, update: Update, rng: np.random.Generator) -> Update:
        """Keeps the numbers of largest magnitude; of equals, those that come first."""
        import torch

        vector = Layout.of(update.delta).flatten(update.delta)
        order = torch.sort(vector.abs(), descending=True, stable=True).indices[: self.count(len(vector))]
        places = order.sort().values
        return replace(update, delta={VALUES: vector[places], PLACES: places.to(torch.int32)})

    def unpack(self, update: Update, layout: Layout) -> Update:
        """Puts the numbers in their places, zeros elsewhere."""
        import torch

        if set(update.delta) != {VALUES, PLACES}:
            raise UpdateRefusedError(f"a top-k difference holds {VALUES} and {PLACES}")
        values, places = update.delta[VALUES], update.delta[PLACES]
        count = self.count(layout.size)
        if values.shape != (count,) or places.shape != (count,) or places.dtype != torch.int32:
            raise UpdateRefusedError(f"a top-k difference of this schema holds {count} values and places")
        places = places.long()
        inside = bool(((places >= 0) & (places < layout.size)).all())
        if not inside or bool((places[1:] <= places[:-1]).any()):
            raise UpdateRefusedError(f"{PLACES} must ascend from 0 or more to below {layout.size}")
        vector = values.new_zeros(layout.size)
        vector[places] = values
        return replace(update, delta=layout.view(vector))

"""LoRA: low-rank adapters. Hu et al., 2021, arXiv:2106.09685.

    y = W x + s·B A x,   s = alpha/rank (alpha/√rank with ``rslora``, arXiv:2312.03732),

A drawn uniformly as torch's Linear from our own streams, B zero. ``dora`` splits the weight into
magnitude and direction (arXiv:2402.09353).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from qfedfm.models.adapters.placed import PlacedAdapter

if TYPE_CHECKING:
    from collections.abc import Sequence


class LoraConfig(PlacedAdapter):
    """Options of LoRA.

    Args:
        rank: Rank r of the update, at least 1.
        alpha: Its scale.
        dropout: Probability that an input of A is dropped in training.
        rslora: Scale by alpha/√rank instead of alpha/rank.
        dora: Train magnitudes beside the low-rank direction.
    """

    kind: Literal["lora"] = "lora"
    rank: Annotated[int, Field(ge=1)] = 8
    alpha: Annotated[float, Field(gt=0)] = 16
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    rslora: bool = False
    dora: bool = False

    @property
    def scale(self) -> float:
        """The scale s = alpha/rank, or alpha/√rank with ``rslora``."""
        return self.alpha / (math.sqrt(self.rank) if self.rslora else self.rank)

    def peft(self, modules: Sequence[str]) -> Any:
        """Returns PEFT's configuration for the modules named."""
        from peft import LoraConfig as PeftLora

        return PeftLora(
            r=self.rank,
            lora_alpha=int(self.alpha) if float(self.alpha).is_integer() else self.alpha,
            lora_dropout=self.dropout,
            use_rslora=self.rslora,
            use_dora=self.dora,
            target_modules=list(modules),
            task_type="FEATURE_EXTRACTION",
        )

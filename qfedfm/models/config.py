"""The model section of an experiment file."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from qfedfm.core.config import Config
from qfedfm.models.adapters import AdapterConfig, LoraConfig
from qfedfm.models.heads import HeadConfig, LinearConfig
from qfedfm.models.precision import Precision


class ModelConfig(Config):
    """A frozen backbone, adapters in it, and a head on its pooled features.

    Args:
        backbone: ``minilm`` (the packaged all-MiniLM-L6-v2), ``vit`` (a small vision transformer for
            images, pretrained on the data's public part), a transformers model id or a local folder.
            Not used where the data are features already.
        adapter: What is trained inside the backbone.
        head: What is trained on top of it.
        precision: The number format of the frozen weights; ``auto`` is bfloat16 where the hardware has it.
    """

    backbone: Annotated[str, Field(min_length=1)] = "minilm"
    adapter: AdapterConfig = LoraConfig()
    head: HeadConfig = LinearConfig()
    precision: Precision = "auto"

    @field_validator("backbone")
    @classmethod
    def _named(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("backbone is empty; name minilm, vit, a model id or a folder")
        return value.strip()

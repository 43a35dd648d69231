"""Adapters: what is trained inside the backbone, by PEFT."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from qfedfm.models.adapters.lora import LoraConfig
from qfedfm.models.adapters.named import NamedAdapterConfig
from qfedfm.models.adapters.none import NoAdapterConfig
from qfedfm.models.adapters.placed import PlacedAdapter

AdapterConfig = Annotated[LoraConfig | NoAdapterConfig | NamedAdapterConfig, Field(discriminator="kind")]

__all__ = ["AdapterConfig", "LoraConfig", "NamedAdapterConfig", "NoAdapterConfig", "PlacedAdapter"]

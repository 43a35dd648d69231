"""The key ``security`` of the experiment file."""

from __future__ import annotations

from typing import Any

from pydantic import model_validator

from qfedfm.core.config import Config
from qfedfm.core.errors import NotBuiltError
from qfedfm.security.channel.config import ChannelConfig


class SecurityConfig(Config):
    """How what travels is protected.

    Args:
        channel: How messages between a client and the server are sealed.
    """

    channel: ChannelConfig = ChannelConfig()

    @model_validator(mode="before")
    @classmethod
    def _built(cls, values: Any) -> Any:
        if isinstance(values, dict) and "sum" in values:
            raise NotBuiltError("security.sum is not built yet; leave the key out")
        return values

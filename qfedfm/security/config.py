"""The key ``security`` of the experiment file."""

from __future__ import annotations

from pydantic import model_validator

from qfedfm.core.config import Config
from qfedfm.core.errors import RequestError
from qfedfm.security.channel.config import ChannelConfig
from qfedfm.security.summation import Plain, SumConfig


class SecurityConfig(Config):
    """How what travels is protected.

    Args:
        channel: How messages between a client and the server are sealed.
        sum: How the server learns the sum of the updates, or each of them.
    """

    channel: ChannelConfig = ChannelConfig()
    sum: SumConfig = Plain()

    @model_validator(mode="after")
    def _together(self) -> SecurityConfig:
        if self.channel.kind != "none" and self.sum.reveals == "sum":
            raise RequestError(
                f"security.channel {self.channel.kind} seals whole updates, and security.sum {self.sum.kind} "
                "sends none; use one of the two (a sum protocol protects its own messages)"
            )
        return self

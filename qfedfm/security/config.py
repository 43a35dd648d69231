"""The key ``security`` of the experiment file."""

from __future__ import annotations

from qfedfm.core.config import Config
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

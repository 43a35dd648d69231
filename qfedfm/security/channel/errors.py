"""What can go wrong with a sealed message. Each failure burns the key; no message is ever half accepted."""

from __future__ import annotations

from qfedfm.core.errors import RunError


class ChannelError(RunError):
    """A message was not accepted, or could not be sealed."""


class ReplayError(ChannelError):
    """The message, or its key, has been used before."""


class ReorderError(ChannelError):
    """A message is missing before this one."""


class TruncationError(ChannelError):
    """The message is shorter or longer than it says."""


class TamperError(ChannelError):
    """The tag does not fit: bits, round, sender, receiver or schema were changed."""


class IdentityError(ChannelError):
    """A signature does not fit the identity it claims."""


class BurntKeyError(ChannelError):
    """The key was burnt by an earlier failure or is used up."""


class ShortageError(ChannelError):
    """The link does not hold enough key, and the experiment says not to wait."""


class EavesdropperError(ChannelError):
    """The link gave no key because someone listens."""

"""What can go wrong, by whose fault it is.

The command line maps these to exit codes: a :class:`RequestError` is 2 (the request was wrong, the
sentence says which key or file and what would be right), any other :class:`QfedfmError` is 1.
"""

from __future__ import annotations


class QfedfmError(Exception):
    """Base of every error that qfedfm raises on purpose.

    Attributes:
        exit_code: What the command line exits with.
    """

    exit_code = 1


class RequestError(QfedfmError, ValueError):
    """The request cannot be served as written; the message is one sentence for the user."""

    exit_code = 2


class NotBuiltError(RequestError):
    """A key of the experiment file whose part does not exist yet."""


class RunError(QfedfmError, RuntimeError):
    """The request was fine but the run failed."""


class UpdateRefusedError(QfedfmError, ValueError):
    """An update that must not enter the round; the message is the recorded reason."""


class CheckpointError(QfedfmError, RuntimeError):
    """A checkpoint that is truncated, corrupted or of another experiment."""

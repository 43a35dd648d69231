"""What both ends of a channel between two machines share: names, signing keys, halves of an agreement."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qfedfm.core.errors import UpdateRefusedError
from qfedfm.security.channel.agreement import Half, Identity
from qfedfm.security.channel.config import QUANTUM, ChannelConfig
from qfedfm.security.channel.rounds import FALLBACK

SERVER = "server"
Fetch = Callable[[str, str], bytes]
"""Returns the key of a name that the server drew for a client (its name first)."""


def name_of(client: int) -> str:
    """Returns a client's name in associated data and key stores."""
    return f"client-{client}"


def offered_kinds(config: ChannelConfig) -> tuple[str, ...]:
    """Returns the agreements for which a client sends a fresh public key before each round."""
    if config.kind == "none":
        return ()
    kinds = () if config.kind == "qkd" else (config.kind,)
    falls_back = config.kind in QUANTUM and config.on_shortage == "fallback"
    return (*kinds, FALLBACK) if falls_back else kinds


def identity_in(folder: Path, kind: Any) -> Identity:
    """Returns the signing key in ``folder``; it is made on first use, and its owner alone can read it."""
    path = folder / f"identity-{kind}.key"
    if not path.exists():
        write_secret(path, Identity(kind).secret())
    return Identity(kind, path.read_bytes())


def write_secret(path: Path, content: bytes) -> None:
    """Writes a file that its owner alone can read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(content)


def plain(half: Half) -> dict[str, str]:
    """Returns a half as JSON-ready text."""
    return {
        "content": base64.b64encode(half.content).decode(),
        "signature": base64.b64encode(half.signature).decode(),
    }


def half(fields: Any) -> Half:
    """Returns the half that :func:`plain` wrote.

    Raises:
        UpdateRefusedError: It is none.
    """
    try:
        return Half(*(base64.b64decode(fields[name], validate=True) for name in ("content", "signature")))
    except (KeyError, TypeError, binascii.Error) as error:
        raise UpdateRefusedError("a message of the key agreement is malformed") from error

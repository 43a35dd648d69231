"""What a client needs to be let in: the server's authority and a key of its own, in one file.

Node keys are P-384, as Flower asks for; the authority is :mod:`qfedfm.security.certificates`'. Each served
experiment has an authority and keys of its own.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from qfedfm.core.errors import RequestError

FORMAT = "qfedfm-ticket-1"
REGISTERED = "registered.json"
"""The file of a server's folder that says which SuperNode each client's key became."""


@dataclass(frozen=True)
class Ticket:
    """A client's way in.

    Args:
        name: Whose it is.
        server: Host and port.
        authority: The certificate that signs the server's, PEM; empty where TLS is off.
        key: The node's private key, OpenSSH; empty where TLS is off.
    """

    name: str
    server: str
    authority: str
    key: str

    @property
    def secure(self) -> bool:
        """Whether TLS and node keys are on."""
        return bool(self.authority)

    def check(self, partition: int | None) -> None:
        """Refuses to rehearse another client's part: the key says who this is.

        Raises:
            RequestError: The partition is not this client's.
        """
        owner = re.fullmatch(r"client-(\d+)", self.name)
        if partition is not None and owner is not None and int(owner[1]) != partition and self.secure:
            raise RequestError(
                f"the ticket is client {owner[1]}'s, and --partition is {partition}; a client has one place: "
                f"join with --partition {owner[1]}, or with the ticket of client {partition}"
            )

    def write(self, path: Path) -> None:
        """Writes the file; its owner alone can read it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as stream:
            json.dump({"format": FORMAT, **asdict(self)}, stream, indent=1)

    @staticmethod
    def read(path: Path) -> Ticket:
        """Reads a file.

        Raises:
            RequestError: It is no ticket.
        """
        try:
            content = json.loads(path.read_text())
            if content.pop("format") != FORMAT or not all(isinstance(v, str) for v in content.values()):
                raise ValueError("another format")
            return Ticket(**content)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RequestError(
                f"{path}: is no ticket ({error}); give the file that `qfedfm serve` wrote for this client"
            ) from error


def node_key() -> tuple[str, str]:
    """Returns a new node's (private key, public key) in OpenSSH's forms."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP384R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return private.decode(), public.decode()


def registered(state: Path) -> dict[int, int]:
    """Returns per client the SuperNode that its key became; empty before, and without node keys."""
    path = state / REGISTERED
    found = json.loads(path.read_text()) if path.exists() else {}
    return {int(client): int(node) for client, node in found.items()}


def owners_in(state: Path) -> dict[int, int]:
    """Returns per SuperNode the client that its key stands for."""
    return {node: client for client, node in registered(state).items()}

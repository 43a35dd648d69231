"""A fresh, signed key agreement each round: ML-KEM-768, X25519, or QKD and ML-KEM-768 together.

The client sends a fresh public key, the server answers; both messages are signed, and both keys (one for each
direction) come from HKDF over the shared secrets with the round, both names and the transcript as its info,
so a key cannot be taken for that of another round or peer. RFC 5869; FIPS 203; FIPS 204; RFC 7748; RFC 8032.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal

from qfedfm.security.channel.errors import IdentityError

KEY_BYTES = 32


class Identity:
    """A long-lived signing key.

    Args:
        kind: ``ed25519`` or ``ml-dsa`` (ML-DSA-65).
    """

    def __init__(self, kind: Literal["ed25519", "ml-dsa"]) -> None:
        from cryptography.hazmat.primitives.asymmetric import ed25519, mldsa

        self._key: Any = (
            ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else mldsa.MLDSA65PrivateKey.generate()
        )
        self.public = self._key.public_key()

    def sign(self, message: bytes) -> bytes:
        """Returns the signature of ``message``."""
        return bytes(self._key.sign(message))


def check_signature(public: Any, signature: bytes, message: bytes, name: str) -> None:
    """Raises IdentityError unless ``signature`` is that of ``message`` by the holder of ``public``."""
    from cryptography.exceptions import InvalidSignature

    try:
        public.verify(signature, message)
    except InvalidSignature:
        raise IdentityError(f"the signature does not fit the identity of {name}") from None


class MlKemExchange:
    """ML-KEM-768: a key pair that is used once."""

    def __init__(self) -> None:
        from cryptography.hazmat.primitives.asymmetric import mlkem

        self._key = mlkem.MLKEM768PrivateKey.generate()
        self.public = self._key.public_key().public_bytes_raw()

    def finish(self, answer: bytes) -> bytes:
        """Returns the shared secret from the server's ciphertext."""
        return bytes(self._key.decapsulate(answer))

    @staticmethod
    def answer(public: bytes) -> tuple[bytes, bytes]:
        """Returns (shared secret, ciphertext) for a client's public key."""
        from cryptography.hazmat.primitives.asymmetric import mlkem

        secret, ciphertext = mlkem.MLKEM768PublicKey.from_public_bytes(public).encapsulate()
        return bytes(secret), bytes(ciphertext)


class X25519Exchange:
    """X25519 with keys that are used once."""

    def __init__(self) -> None:
        from cryptography.hazmat.primitives.asymmetric import x25519

        self._key = x25519.X25519PrivateKey.generate()
        self.public = self._key.public_key().public_bytes_raw()

    def finish(self, answer: bytes) -> bytes:
        """Returns the shared secret from the server's public key."""
        from cryptography.hazmat.primitives.asymmetric import x25519

        return self._key.exchange(x25519.X25519PublicKey.from_public_bytes(answer))

    @staticmethod
    def answer(public: bytes) -> tuple[bytes, bytes]:
        """Returns (shared secret, the server's public key) for a client's public key."""
        from cryptography.hazmat.primitives.asymmetric import x25519

        key = x25519.X25519PrivateKey.generate()
        secret = key.exchange(x25519.X25519PublicKey.from_public_bytes(public))
        return secret, key.public_key().public_bytes_raw()


EXCHANGES: dict[str, type[MlKemExchange] | type[X25519Exchange]] = {
    "ml-kem": MlKemExchange,
    "hybrid": MlKemExchange,
    "x25519": X25519Exchange,
}


@dataclass(frozen=True)
class Agreed:
    """Keys of one client and round.

    Args:
        upload: From client to server, 32 bytes.
        download: From server to client, 32 bytes.
        key_id: Names both; the hash of the transcript.
        bytes: What the agreement sent.
    """

    upload: bytes
    download: bytes
    key_id: str
    bytes: int


def agree(
    kind: str,
    round_number: int,
    client: str,
    identity: Identity,
    server_identity: Identity,
    quantum: tuple[bytes, bytes] = (b"", b""),
) -> Agreed:
    """Runs one agreement, both sides of it.

    Args:
        kind: A name of ``EXCHANGES``.
        round_number: The round, from 0.
        client: The client's name.
        identity: The client's signing key; its public half is known to the server.
        server_identity: The server's signing key.
        quantum: k_qkd of a hybrid agreement, as the client and as the server have it.

    Raises:
        IdentityError: A signature does not fit.
    """
    exchange = EXCHANGES[kind]()
    offer = json.dumps([kind, round_number, client, "server"]).encode() + exchange.public
    offer_signature = identity.sign(offer)
    check_signature(identity.public, offer_signature, offer, client)
    server_secret, answer = type(exchange).answer(exchange.public)
    transcript = hashlib.sha256(offer + offer_signature + answer).digest()
    answer_signature = server_identity.sign(transcript)
    check_signature(server_identity.public, answer_signature, transcript, "server")
    client_secret = exchange.finish(answer)
    at_client = derive(quantum[0] + client_secret, round_number, client, transcript)
    at_server = derive(quantum[1] + server_secret, round_number, client, transcript)
    if at_client != at_server:
        raise IdentityError(f"the key agreement with {client} did not end with one key")
    sent = len(offer) + len(offer_signature) + len(answer) + len(answer_signature)
    return Agreed(at_client[0], at_client[1], transcript.hex()[:32], sent)


def derive(secret: bytes, round_number: int, client: str, transcript: bytes) -> tuple[bytes, bytes]:
    """Returns (upload key, download key): HKDF-SHA-256, info = round, names, transcript, direction."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    def key(direction: str) -> bytes:
        info = json.dumps(["qfedfm channel 1", round_number, client, "server", direction]).encode()
        return HKDF(hashes.SHA256(), KEY_BYTES, None, info + transcript).derive(secret)

    return key("upload"), key("download")

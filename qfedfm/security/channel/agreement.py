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


IdentityKind = Literal["ed25519", "ml-dsa"]


class Identity:
    """A long-lived signing key.

    Args:
        kind: ``ed25519`` or ``ml-dsa`` (ML-DSA-65).
        secret: What :meth:`secret` gave, for an identity that outlives a process; a new one by default.
    """

    def __init__(self, kind: IdentityKind, secret: bytes | None = None) -> None:
        from cryptography.hazmat.primitives.asymmetric import ed25519, mldsa

        self._key: Any
        if kind == "ed25519":
            pair = ed25519.Ed25519PrivateKey
            self._key = pair.generate() if secret is None else pair.from_private_bytes(secret)
        else:
            lattice = mldsa.MLDSA65PrivateKey
            self._key = lattice.generate() if secret is None else lattice.from_seed_bytes(secret)
        self.public = self._key.public_key()

    def sign(self, message: bytes) -> bytes:
        """Returns the signature of ``message``."""
        return bytes(self._key.sign(message))

    def secret(self) -> bytes:
        """Returns the private key, for a file that its owner alone can read."""
        return bytes(self._key.private_bytes_raw())


class PublicIdentity(Identity):
    """Somebody else's identity: its signatures can be checked, none can be made.

    Args:
        kind: As of the identity.
        public: Its raw public key.
    """

    def __init__(self, kind: IdentityKind, public: bytes) -> None:
        from cryptography.hazmat.primitives.asymmetric import ed25519, mldsa

        known: Any = ed25519.Ed25519PublicKey if kind == "ed25519" else mldsa.MLDSA65PublicKey
        try:
            self.public = known.from_public_bytes(public)
        except ValueError as error:
            raise IdentityError(f"{len(public)} bytes are no public key of kind {kind}") from error

    def sign(self, message: bytes) -> bytes:
        """Refuses."""
        raise AssertionError("only the owner of an identity signs with it")

    def secret(self) -> bytes:
        """Refuses."""
        raise AssertionError("only the owner of an identity has its private key")


def check_signature(public: Any, signature: bytes, message: bytes, name: str) -> None:
    """Raises IdentityError unless ``signature`` is that of ``message`` by the holder of ``public``."""
    from cryptography.exceptions import InvalidSignature

    try:
        public.verify(signature, message)
    except InvalidSignature:
        raise IdentityError(f"the signature does not fit the identity of {name}") from None


class MlKemExchange:
    """ML-KEM-768: a key pair that is used once.

    Args:
        secret: What :meth:`secret` gave, where the answer comes to another process; a new pair by default.
    """

    def __init__(self, secret: bytes | None = None) -> None:
        from cryptography.hazmat.primitives.asymmetric import mlkem

        pair = mlkem.MLKEM768PrivateKey
        self._key = pair.generate() if secret is None else pair.from_seed_bytes(secret)
        self.public = self._key.public_key().public_bytes_raw()

    def finish(self, answer: bytes) -> bytes:
        """Returns the shared secret from the server's ciphertext."""
        return bytes(self._key.decapsulate(answer))

    def secret(self) -> bytes:
        """Returns the private key."""
        return bytes(self._key.private_bytes_raw())

    @staticmethod
    def answer(public: bytes) -> tuple[bytes, bytes]:
        """Returns (shared secret, ciphertext) for a client's public key."""
        from cryptography.hazmat.primitives.asymmetric import mlkem

        secret, ciphertext = mlkem.MLKEM768PublicKey.from_public_bytes(public).encapsulate()
        return bytes(secret), bytes(ciphertext)


class X25519Exchange:
    """X25519 with keys that are used once.

    Args:
        secret: What :meth:`secret` gave, where the answer comes to another process; a new pair by default.
    """

    def __init__(self, secret: bytes | None = None) -> None:
        from cryptography.hazmat.primitives.asymmetric import x25519

        pair = x25519.X25519PrivateKey
        self._key = pair.generate() if secret is None else pair.from_private_bytes(secret)
        self.public = self._key.public_key().public_bytes_raw()

    def finish(self, answer: bytes) -> bytes:
        """Returns the shared secret from the server's public key."""
        from cryptography.hazmat.primitives.asymmetric import x25519

        return self._key.exchange(x25519.X25519PublicKey.from_public_bytes(answer))

    def secret(self) -> bytes:
        """Returns the private key."""
        return bytes(self._key.private_bytes_raw())

    @staticmethod
    def answer(public: bytes) -> tuple[bytes, bytes]:
        """Returns (shared secret, the server's public key) for a client's public key."""
        from cryptography.hazmat.primitives.asymmetric import x25519

        key = x25519.X25519PrivateKey.generate()
        secret = key.exchange(x25519.X25519PublicKey.from_public_bytes(public))
        return secret, key.public_key().public_bytes_raw()


Exchange = MlKemExchange | X25519Exchange
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


@dataclass(frozen=True)
class Half:
    """One side's message of an agreement.

    Args:
        content: The client's public key, or the server's answer to it.
        signature: Of what :func:`offered` or :func:`transcript` returns.
    """

    content: bytes
    signature: bytes


def offered(kind: str, round_number: int, client: str, public: bytes) -> bytes:
    """Returns what a client signs: its public key, and what it is for."""
    return json.dumps([kind, round_number, client, "server"]).encode() + public


def offer(kind: str, round_number: int, client: str, exchange: Exchange, identity: Identity) -> Half:
    """Returns the client's message."""
    return Half(exchange.public, identity.sign(offered(kind, round_number, client, exchange.public)))


def answer(
    kind: str,
    round_number: int,
    client: str,
    half: Half,
    public: Any,
    server_identity: Identity,
    quantum: bytes = b"",
) -> tuple[Agreed, Half]:
    """Returns the server's keys and its message.

    Args:
        kind: A name of ``EXCHANGES``.
        round_number: The round, from 0.
        client: The client's name.
        half: What the client sent.
        public: The client's public signing key.
        server_identity: The server's signing key.
        quantum: k_qkd of a hybrid agreement.

    Raises:
        IdentityError: The signature does not fit, or the public key is none.
    """
    said = offered(kind, round_number, client, half.content)
    check_signature(public, half.signature, said, client)
    try:
        secret, content = EXCHANGES[kind].answer(half.content)
    except ValueError as error:
        raise IdentityError(f"{client} sent {len(half.content)} bytes that are no public key") from error
    transcript = hashlib.sha256(said + half.signature + content).digest()
    reply = Half(content, server_identity.sign(transcript))
    upload, download = derive(quantum + secret, round_number, client, transcript)
    sent = len(said) + len(half.signature) + len(content) + len(reply.signature)
    return Agreed(upload, download, transcript.hex()[:32], sent), reply


def conclude(
    kind: str,
    round_number: int,
    client: str,
    exchange: Exchange,
    half: Half,
    reply: Half,
    server_public: Any,
    quantum: bytes = b"",
) -> Agreed:
    """Returns the client's keys from what it sent and the server's ``reply``.

    Raises:
        IdentityError: The signature does not fit, or the answer is none.
    """
    said = offered(kind, round_number, client, half.content)
    transcript = hashlib.sha256(said + half.signature + reply.content).digest()
    check_signature(server_public, reply.signature, transcript, "server")
    try:
        secret = exchange.finish(reply.content)
    except ValueError as error:
        raise IdentityError(f"the server's answer to {client} is none") from error
    upload, download = derive(quantum + secret, round_number, client, transcript)
    sent = len(said) + len(half.signature) + len(reply.content) + len(reply.signature)
    return Agreed(upload, download, transcript.hex()[:32], sent)


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
    half = offer(kind, round_number, client, exchange, identity)
    at_server, reply = answer(kind, round_number, client, half, identity.public, server_identity, quantum[1])
    at_client = conclude(
        kind, round_number, client, exchange, half, reply, server_identity.public, quantum[0]
    )
    if at_client != at_server:
        raise IdentityError(f"the key agreement with {client} did not end with one key")
    return at_server


def derive(secret: bytes, round_number: int, client: str, transcript: bytes) -> tuple[bytes, bytes]:
    """Returns (upload key, download key): HKDF-SHA-256, info = round, names, transcript, direction."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    def key(direction: str) -> bytes:
        info = json.dumps(["qfedfm channel 1", round_number, client, "server", direction]).encode()
        return HKDF(hashes.SHA256(), KEY_BYTES, None, info + transcript).derive(secret)

    return key("upload"), key("download")

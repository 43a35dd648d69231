"""A fresh secret for each pair of clients in each round, relayed by the server: X25519, ML-KEM-768 or QKD.

The server carries public keys and ciphertexts, signed by identities whose public halves all clients know, and
names of QKD keys, which mean nothing without the key managers. A secret becomes three keys by HKDF-SHA-256
with round, both names and the transcript as its info. RFC 7748; FIPS 203; RFC 5869; ETSI GS QKD 014.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from qfedfm.security.channel.agreement import Identity, MlKemExchange, X25519Exchange, check_signature
from qfedfm.security.channel.errors import IdentityError
from qfedfm.security.qkd.ledger import KeyReuseError
from qfedfm.security.summation.masks.links import PairLinks
from qfedfm.security.summation.protocol import SumAbortedError
from qfedfm.security.summation.wire import join, split

Received = Mapping[int, tuple[bytes, bytes]]
"""Per neighbour that has answered: what it sent to all, and what it sent to this client."""


@dataclass(frozen=True)
class PairKeys:
    """What a pair shares in one round.

    Args:
        mask: Seed of the pair's mask, 32 bytes.
        low_to_high: Encrypts what the client with the lower number sends the other, 32 bytes.
        high_to_low: The other direction.
        pad: True key bits for the mask itself, where masks are one-time pads.
    """

    mask: bytes
    low_to_high: bytes
    high_to_low: bytes
    pad: bytes = b""


class UsedOnce:
    """Remembers the last round in which each client keyed with each other one."""

    def __init__(self) -> None:
        self._last: dict[tuple[int, int], int] = {}

    def use(self, owner: int, peer: int, round_number: int) -> None:
        """Notes that ``owner`` takes its key with ``peer``.

        Raises:
            KeyReuseError: It did so before in this round or a later one: a mask that is sent twice shows
                the difference of what it hid.
        """
        if self._last.get((owner, peer), -1) >= round_number:
            raise KeyReuseError(
                f"client {owner} has keyed with client {peer} in round {round_number + 1} before; "
                "a pair has one key a round, also when a round is tried again"
            )
        self._last[owner, peer] = round_number


@dataclass(frozen=True)
class Party:
    """Who agrees on keys.

    Args:
        client: Its number.
        round: The round, from 0.
        neighbours: With whom.
        identity: Its signing key.
        directory: The public keys of all clients.
        links: The key managers of QKD links.
    """

    client: int
    round: int
    neighbours: tuple[int, ...]
    identity: Identity
    directory: Mapping[int, Any]
    links: PairLinks | None = None


class Agreement(ABC):
    """One client's side of the agreements of a round."""

    phases: ClassVar[tuple[str, ...]] = ("keys",)

    def __init__(self, party: Party) -> None:
        self._party = party

    @abstractmethod
    def offer(self, phase: str, received: Received) -> tuple[bytes, dict[int, bytes]]:
        """Returns what is sent to all neighbours, and what to each."""

    @abstractmethod
    def finish(self, received: Received) -> dict[int, PairKeys]:
        """Returns the keys with every neighbour that is still there."""

    def sign(self, *what: Any, content: bytes) -> bytes:
        """Returns this client's signature of ``content`` as what it is in this round."""
        return self._party.identity.sign(json.dumps([self._party.round, *what]).encode() + content)

    def check(self, sender: int, *what: Any, content: bytes, signature: bytes) -> None:
        """Raises SumAbortedError unless ``sender`` has signed ``content`` as that."""
        text = json.dumps([self._party.round, *what]).encode() + content
        try:
            check_signature(self._party.directory[sender], signature, text, f"client {sender}")
        except IdentityError as error:
            raise SumAbortedError(f"client {self._party.client}: {error}") from error

    def _signed(self, *what: Any, content: bytes) -> bytes:
        return join(content, self.sign(*what, content=content))

    def _checked(self, sender: int, *what: Any, message: bytes) -> bytes:
        content, signature = split(message, 2)
        self.check(sender, *what, content=content, signature=signature)
        return content

    def _pair(self, peer: int, secret: bytes, transcript: bytes, pad: bytes = b"") -> PairKeys:
        return derive(secret, self._party.round, self._party.client, peer, transcript, pad)


class X25519Agreement(Agreement):
    """Each client sends one fresh public key to all."""

    def __init__(self, party: Party) -> None:
        super().__init__(party)
        self._exchange = X25519Exchange()

    def offer(self, phase: str, received: Received) -> tuple[bytes, dict[int, bytes]]:
        """Returns the signed public key."""
        return self._signed("x25519", self._party.client, content=self._exchange.public), {}

    def finish(self, received: Received) -> dict[int, PairKeys]:
        """Returns the keys from everybody's public keys."""
        mine, keys = (self._party.client, self._exchange.public), {}
        for peer, (message, _) in received.items():
            public = self._checked(peer, "x25519", peer, message=message)
            ends = sorted([mine, (peer, public)])
            keys[peer] = self._pair(peer, self._exchange.finish(public), ends[0][1] + ends[1][1])
        return keys


class MlKemAgreement(Agreement):
    """Each client sends one fresh encapsulation key to all; the lower of a pair answers with a ciphertext."""

    phases: ClassVar[tuple[str, ...]] = ("keys", "encapsulations")

    def __init__(self, party: Party) -> None:
        super().__init__(party)
        self._exchange = MlKemExchange()
        self._made: dict[int, PairKeys] = {}

    def offer(self, phase: str, received: Received) -> tuple[bytes, dict[int, bytes]]:
        """Returns the signed encapsulation key, then signed ciphertexts for all higher neighbours."""
        me = self._party.client
        if phase == "keys":
            return self._signed("ml-kem", me, content=self._exchange.public), {}
        addressed = {}
        for peer, (message, _) in received.items():
            if peer < me:
                continue
            public = self._checked(peer, "ml-kem", peer, message=message)
            secret, ciphertext = MlKemExchange.answer(public)
            self._made[peer] = self._pair(peer, secret, public + ciphertext)
            addressed[peer] = self._signed("ml-kem", me, peer, content=ciphertext)
        return b"", addressed

    def finish(self, received: Received) -> dict[int, PairKeys]:
        """Returns the keys that were encapsulated here and there."""
        me, keys = self._party.client, {}
        for peer, (_, message) in received.items():
            if peer > me:
                keys[peer] = self._made[peer]
                continue
            ciphertext = self._checked(peer, "ml-kem", peer, me, message=message)
            secret = self._exchange.finish(ciphertext)
            keys[peer] = self._pair(peer, secret, self._exchange.public + ciphertext)
        return keys


class QkdAgreement(Agreement):
    """The lower of a pair draws a key from its key manager and names it; the other fetches it."""

    def __init__(self, party: Party) -> None:
        super().__init__(party)
        self._drawn: dict[int, tuple[str, bytes]] = {}

    @property
    def _links(self) -> PairLinks:
        assert self._party.links is not None
        return self._party.links

    def offer(self, phase: str, received: Received) -> tuple[bytes, dict[int, bytes]]:
        """Returns the names of the keys that were drawn for higher neighbours."""
        me = self._party.client
        higher = [peer for peer in self._party.neighbours if peer > me]
        self._drawn = self._links.draw(me, higher, self._party.round)
        return b"", {peer: key_id.encode() for peer, (key_id, _) in self._drawn.items()}

    def finish(self, received: Received) -> dict[int, PairKeys]:
        """Returns the keys that were drawn here and there."""
        me = self._party.client
        named = {peer: name.decode() for peer, (_, name) in received.items() if peer < me}
        fetched = self._links.fetch(me, named)
        keys = {}
        for peer in received:
            key_id, key = self._drawn[peer] if peer > me else (named[peer], fetched[peer])
            keys[peer] = self._pair(peer, key[:32], key_id.encode(), key[32:])
        return keys


AGREEMENTS: dict[str, type[Agreement]] = {
    "x25519": X25519Agreement,
    "ml-kem": MlKemAgreement,
    "qkd": QkdAgreement,
}


def derive(secret: bytes, round_number: int, a: int, b: int, transcript: bytes, pad: bytes = b"") -> PairKeys:
    """Returns the keys of clients a and b, the same in either order."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    info = json.dumps(["qfedfm masks 1", round_number, *sorted((a, b))]).encode()
    info += hashlib.sha256(transcript).digest()
    keys = HKDF(hashes.SHA256(), 96, None, info).derive(secret)
    return PairKeys(keys[:32], keys[32:64], keys[64:], pad)

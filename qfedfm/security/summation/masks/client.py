"""A client's end of a round with masks."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qfedfm.security.summation.masks.agreements import Agreement, PairKeys, Received, UsedOnce
from qfedfm.security.summation.masks.graph import Graph, connected
from qfedfm.security.summation.masks.integers import Integers, Words, from_bytes, to_bytes
from qfedfm.security.summation.masks.keystream import add_masks
from qfedfm.security.summation.masks.shamir import SECRET_BYTES, SHARE_BYTES, share
from qfedfm.security.summation.protocol import Job, Message, SumAbortedError, SumClient, needed
from qfedfm.security.summation.wire import clients, join, read_clients, read_table, split, table


@dataclass(frozen=True)
class Setting:
    """What all parties of a job know.

    Args:
        job: The sum.
        graph: Who masks with whom.
        integers: The encoding.
        survivors: How many clients must be left.
        part: The part of a client's share holders that gives its secrets back.
        pads: Whether pairwise masks are one-time pads.
        phases: All phases.
    """

    job: Job
    graph: Graph
    integers: Integers
    survivors: int
    part: float
    pads: bool
    phases: tuple[str, ...]

    def holders(self, client: int) -> int:
        """Returns how many of the shares that a client and its neighbours hold give its secrets back."""
        return needed(self.part, len(self.graph[client]) + 1)

    def point(self, client: int) -> int:
        """Returns where the polynomials are evaluated for a client."""
        return self.job.clients.index(client) + 1

    def enough(self, count: int, what: str) -> None:
        """Raises SumAbortedError unless so many clients are enough."""
        if count < self.survivors:
            asked = max(self.job.asked, len(self.job.clients))
            raise SumAbortedError(f"{count} of {asked} clients {what}, and the sum needs {self.survivors}")


class MaskClient(SumClient):
    """Agrees on keys, shares its secrets, sends its masked numbers, and helps to unmask the sum, once each.

    Args:
        client: Its number.
        setting: What all know.
        agreement: Its side of the key agreements.
        used: The (pair, round) keys that were used before.
        encode: Returns its numbers before masking, shape (d,), and how many were clipped; None if it will
            vanish before.
    """

    def __init__(
        self,
        client: int,
        setting: Setting,
        agreement: Agreement,
        used: UsedOnce,
        encode: Callable[[], tuple[Words, int]] | None,
    ) -> None:
        self._me = client
        self._setting = setting
        self._agreement = agreement
        self._used = used
        self._encode = encode
        self._clipped = 0
        self._keys: dict[int, PairKeys] = {}
        self._held: dict[int, tuple[bytes, bytes]] = {}
        self._own = secrets.token_bytes(SECRET_BYTES)  # b_u
        self._wrapping = secrets.token_bytes(SECRET_BYTES)  # r_u
        self._there: set[int] = set()
        self._summed: set[int] = set()
        self._done = 0

    @property
    def notes(self) -> Mapping[str, int]:
        """How many numbers were clipped, once they are sent."""
        return {"clipped": self._clipped}

    def reply(self, phase: str, message: Message) -> Message:
        """Returns the answer of ``phase``; each is given once.

        Raises:
            SumAbortedError: What the server says would reveal more than the sum, or a message is broken.
            KeyReuseError: The pair's key of this round was used before.
        """
        assert isinstance(message, bytes)
        phases = self._setting.phases
        if self._done == len(phases) or phase != phases[self._done]:
            raise SumAbortedError(f"client {self._me} was asked out of turn for {phase}")
        self._done += 1
        if phase in self._agreement.phases:
            common, addressed = self._agreement.offer(phase, _received(message))
            return join(common, table(addressed))
        answers = {
            "shares": self._shares,
            "inputs": self._inputs,
            "consistency": self._consistency,
            "unmasking": self._unmasking,
        }
        return answers[phase](message)

    def _shares(self, message: bytes) -> bytes:
        """Returns the wrapped seeds (for the server) and a sealed share for each neighbour."""
        setting, me = self._setting, self._me
        self._keys = self._agreement.finish(_received(message))
        if not set(self._keys) <= set(setting.graph[me]):
            raise SumAbortedError(f"client {me} was sent keys of clients that are no neighbours of its")
        needs = setting.holders(me)
        if len(self._keys) + 1 < needs:
            raise SumAbortedError(f"client {me} has {len(self._keys)} neighbours left, and needs {needs - 1}")
        for peer in self._keys:
            self._used.use(me, peer, setting.job.round)
        points = {peer: setting.point(peer) for peer in [*self._keys, me]}
        own, wrapping = (
            share(secret, list(points.values()), needs) for secret in (self._own, self._wrapping)
        )
        both = {peer: own[x] + wrapping[x] for peer, x in points.items()}
        self._held[me] = _halves(both[me])
        sealed = {peer: self._seal(peer, both[peer]) for peer in self._keys}
        wrapped = (
            {}
            if setting.pads
            else {peer: wrap(self._wrapping, peer, keys.mask) for peer, keys in self._keys.items()}
        )
        return join(table(wrapped), table(sealed))

    def _inputs(self, message: bytes) -> bytes:
        """Returns the masked numbers."""
        setting, me = self._setting, self._me
        assert self._encode is not None, "a client without numbers vanishes before it sends them"
        there, sealed = split(message, 2)
        self._there = read_clients(there)
        setting.enough(len(self._there), "sent shares")
        for peer, (_, content) in _received(sealed).items():
            if peer not in self._keys or peer not in self._there:
                raise SumAbortedError(f"client {me} was sent a share of client {peer}, which is not there")
            self._held[peer] = _halves(self._open(peer, content))
        mine = set(setting.graph[me]) & self._there
        if me not in self._there or mine != set(self._held) - {me}:
            raise SumAbortedError(f"client {me} was not told the truth about who is there")
        words, self._clipped = self._encode()
        add_masks(words, [(self._own, 1)] + ([] if setting.pads else self._seeds(mine)))
        if setting.pads:
            self._add_pads(words, mine, 1)
        return to_bytes(words, setting.integers.bits)

    def _consistency(self, message: bytes) -> bytes:
        """Returns a signature of who is in the sum, as this client was told."""
        setting, me = self._setting, self._me
        self._summed = summed = read_clients(message)
        setting.enough(len(summed), "are in the sum")
        if not summed <= self._there or me not in summed or not connected(setting.graph, summed):
            raise SumAbortedError(f"client {me} was asked to unmask something that is not the sum")
        return self._agreement.sign("in the sum", content=message)

    def _unmasking(self, message: bytes) -> bytes:
        """Returns shares of b for those in the sum, of r for those who vanished, or what pads leave over."""
        setting, me, summed = self._setting, self._me, self._summed
        signed = read_table(message)
        if not set(signed) <= summed:
            raise SumAbortedError(f"client {me} was sent signatures of clients that are not in the sum")
        for peer, signature in signed.items():
            self._agreement.check(peer, "in the sum", content=clients(summed), signature=signature)
        setting.enough(len(signed), "agree on who is in the sum")
        shares = {
            peer: own if peer in summed else b"" if setting.pads else wrapping
            for peer, (own, wrapping) in self._held.items()
        }
        gone = set(self._held) - summed
        self._held = {}  # never both
        correction = b""
        if setting.pads and gone:
            words = np.zeros(setting.job.size, np.uint32)
            self._add_pads(words, gone, 1)
            correction = to_bytes(words, setting.integers.bits)
        return join(table({peer: content for peer, content in shares.items() if content}), correction)

    def _seeds(self, peers: set[int]) -> list[tuple[bytes, int]]:
        return [(self._keys[peer].mask, sign(self._me, peer)) for peer in sorted(peers)]

    def _add_pads(self, words: NDArray[np.uint32], peers: set[int], factor: int) -> None:
        for peer in sorted(peers):
            pad = from_bytes(self._keys[peer].pad, self._setting.integers.bits)
            (np.add if factor * sign(self._me, peer) > 0 else np.subtract)(words, pad, out=words)

    def _seal(self, peer: int, content: bytes) -> bytes:
        key, about = self._direction(self._me, peer)
        return bytes(_aead(key).encrypt(bytes(12), content, about))  # the key seals one message

    def _open(self, peer: int, content: bytes) -> bytes:
        from cryptography.exceptions import InvalidTag

        key, about = self._direction(peer, self._me)
        try:
            return bytes(_aead(key).decrypt(bytes(12), content, about))
        except InvalidTag:
            raise SumAbortedError(f"client {self._me}: a share of client {peer} was changed") from None

    def _direction(self, sender: int, receiver: int) -> tuple[bytes, bytes]:
        keys = self._keys[receiver if sender == self._me else sender]
        about = json.dumps(["share", self._setting.job.round, sender, receiver]).encode()
        return (keys.low_to_high if sender < receiver else keys.high_to_low), about


def sign(client: int, peer: int) -> int:
    """Returns with which sign ``client`` adds the mask that it shares with ``peer``."""
    return 1 if client < peer else -1


def wrap(wrapping: bytes, peer: int, seed: bytes) -> bytes:
    """Returns the seed under a key of r_u and the peer; the same again unwraps it."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    info = json.dumps(["qfedfm wrapped seed", peer]).encode()
    pad = HKDF(hashes.SHA256(), len(seed), None, info).derive(wrapping)
    return bytes(a ^ b for a, b in zip(seed, pad, strict=True))


def _aead(key: bytes) -> Any:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key)


def _halves(content: bytes) -> tuple[bytes, bytes]:
    if len(content) != 2 * SHARE_BYTES:
        raise SumAbortedError("a share has another length than a share")
    return content[:SHARE_BYTES], content[SHARE_BYTES:]


def _received(message: bytes) -> Received:
    return {peer: (common, own) for peer, (common, own) in _pairs(message).items()}


def _pairs(message: bytes) -> dict[int, list[bytes]]:
    return {peer: split(content, 2) for peer, content in read_table(message).items()}

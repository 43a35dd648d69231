"""The server's end of a round with masks: it relays, adds up, and unmasks the sum."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from qfedfm.security.summation.masks.client import Setting, sign, wrap
from qfedfm.security.summation.masks.graph import connected
from qfedfm.security.summation.masks.integers import Words, add_messages, message_bytes
from qfedfm.security.summation.masks.keystream import add_masks
from qfedfm.security.summation.masks.shamir import SHARE_BYTES, reconstruct
from qfedfm.security.summation.protocol import Cost, Message, Sum, SumAbortedError, SumServer
from qfedfm.security.summation.wire import clients, join, read_table, split, table


class MaskServer(SumServer):
    """Follows the phases; a client whose message is broken counts as gone.

    Args:
        setting: What all know.
        key_bits: Bits of QKD key of one pair.
    """

    def __init__(self, setting: Setting, key_bits: int = 0) -> None:
        self._setting = setting
        self._key_bits = key_bits
        self._there = set(setting.job.clients)
        self._shared: set[int] = set()
        self._common: dict[int, bytes] = {}
        self._addressed: dict[int, dict[int, bytes]] = {}
        self._wrapped: dict[int, dict[int, bytes]] = {}
        self._masked: dict[int, bytes] = {}
        self._signatures: dict[int, bytes] = {}
        self._shares: dict[int, dict[int, bytes]] = {}
        self._corrections: dict[int, bytes] = {}
        self._refused: dict[int, str] = {}
        self._drawn = 0
        self._total: Words | None = None

    def ask(self, phase: str) -> Mapping[int, Message]:
        """Returns what neighbours sent each other in the phase before, or who is there."""
        if phase == self._setting.phases[0]:
            return dict.fromkeys(sorted(self._there), b"")
        if phase == "consistency":
            return dict.fromkeys(sorted(self._there), clients(self._there))
        if phase == "unmasking":
            return dict.fromkeys(sorted(self._there), table(self._signatures))
        relayed = {client: self._relayed(client) for client in sorted(self._there)}
        if phase == "inputs":
            return {client: join(clients(self._there), message) for client, message in relayed.items()}
        return relayed

    def take(self, phase: str, replies: Mapping[int, Message]) -> None:
        """Accepts the replies; see :class:`SumServer`."""
        readers: dict[str, Callable[[int, bytes], None]] = {
            "shares": self._read_shares,
            "inputs": self._read_input,
            "consistency": self._read_signature,
            "unmasking": self._read_unmasking,
        }
        self._common, self._addressed = {}, {}
        good = set()
        for client in sorted(self._there.intersection(replies)):
            message = replies[client]
            try:
                if not isinstance(message, bytes):
                    raise SumAbortedError("it sent quantum states to a classical protocol")
                readers.get(phase, self._read_offer)(client, message)
            except SumAbortedError as error:
                self._refused[client] = str(error)
                continue
            good.add(client)
        self._there = good
        setting = self._setting
        setting.enough(len(good), f"answered in phase {phase}")
        if phase == "shares":
            self._shared = set(good)
            self._reachable(good)
        elif phase == "inputs":
            self._reachable(self._shared)
            if not connected(setting.graph, good):
                raise SumAbortedError(
                    "the clients that are left form parts whose sums would be seen one by one"
                )
        elif phase == "unmasking":
            self._total = self._unmask()

    def result(self) -> Sum:
        """Returns the sum of those who sent masked numbers."""
        assert self._total is not None
        job = self._setting.job
        who = tuple(sorted(self._masked))
        notes: dict[str, Any] = {}
        if self._refused:
            notes["refused"] = {str(client): reason for client, reason in sorted(self._refused.items())}
        return Sum(
            who,
            self._setting.integers.decode(self._total),
            sum(job.weights[client] for client in who),
            Cost(key_bits=self._drawn * self._key_bits),
            notes,
        )

    @property
    def integers(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """The sum as signed integers, shape (d,)."""
        assert self._total is not None
        return self._setting.integers.signed(self._total)

    def _relayed(self, client: int) -> bytes:
        senders = self._there.intersection(self._setting.graph[client])
        return table(
            {s: join(self._common.get(s, b""), self._addressed[s].get(client, b"")) for s in senders}
        )

    def _read_offer(self, client: int, message: bytes) -> None:
        common, addressed = split(message, 2)
        self._common[client], self._addressed[client] = common, read_table(addressed)
        if self._key_bits:
            self._drawn += len(self._addressed[client])

    def _read_shares(self, client: int, message: bytes) -> None:
        wrapped, sealed = split(message, 2)
        self._wrapped[client], self._addressed[client] = read_table(wrapped), read_table(sealed)

    def _read_input(self, client: int, message: bytes) -> None:
        expected = message_bytes(self._setting.job.size, self._setting.integers.bits)
        if len(message) != expected:
            raise SumAbortedError(f"it sent {len(message)} bytes of masked numbers, not {expected}")
        self._masked[client] = message

    def _read_signature(self, client: int, message: bytes) -> None:
        self._signatures[client] = message

    def _read_unmasking(self, client: int, message: bytes) -> None:
        found, correction = split(message, 2)
        shares = read_table(found)
        if any(len(content) != SHARE_BYTES for content in shares.values()):
            raise SumAbortedError("a share has another length than a share")
        for owner, content in shares.items():
            self._shares.setdefault(owner, {})[self._setting.point(client)] = content
        self._corrections[client] = correction

    def _reachable(self, owners: set[int]) -> None:
        """Checks that the secrets of ``owners`` could be had from those who are there."""
        for owner in sorted(owners):
            holders = len(self._there.intersection([*self._setting.graph[owner], owner]))
            if holders < self._setting.holders(owner):
                raise SumAbortedError(
                    f"{holders} holders of client {owner}'s shares are left, and "
                    f"{self._setting.holders(owner)} are needed"
                )

    def _unmask(self) -> Words:
        setting = self._setting
        job, bits = setting.job, setting.integers.bits
        summed = sorted(self._masked)
        gone = self._shared - set(summed)
        total = add_messages([self._masked[client] for client in summed], job.size, bits)
        keys = [(self._secret(client), -1) for client in summed]
        if setting.pads:
            late = [u for u in summed if gone.intersection(setting.graph[u]) and u not in self._there]
            if late:
                raise SumAbortedError(
                    f"client {late[0]} vanished with the one-time pads that it shared with clients that were "
                    "gone before, and nobody else has them; masks aes-ctr survives that"
                )
            sent = [message for message in self._corrections.values() if message]
            if any(len(message) != message_bytes(job.size, bits) for message in sent):
                raise SumAbortedError("a correction has another length than masked numbers")
            total -= add_messages(sent, job.size, bits)
        else:
            for client in sorted(gone):
                wrapping = self._secret(client)
                for peer in sorted(self._wrapped[client]):
                    if peer in self._masked:
                        seed = wrap(wrapping, peer, self._wrapped[client][peer])
                        keys.append((seed, -sign(peer, client)))
        add_masks(total, keys)
        return total

    def _secret(self, client: int) -> bytes:
        try:
            return reconstruct(self._shares.get(client, {}), self._setting.holders(client))
        except ValueError as error:
            raise SumAbortedError(f"the secret of client {client} cannot be had: {error}") from error

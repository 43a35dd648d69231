"""A channel's keys from a key manager by its URL. ETSI GS QKD 014 V1.1.1.

The sender of a message asks its key manager for a key that it shares with the receiver and names that key's
id to the receiver, who fetches its own copy. Both ends run in this process, each with its own certificate.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from qfedfm.core.errors import RequestError
from qfedfm.security.certificates import Files
from qfedfm.security.channel.config import KeyManagerConfig
from qfedfm.security.channel.errors import ChannelError, ShortageError
from qfedfm.security.channel.sources import Drawn
from qfedfm.security.qkd.key_manager_client import KeyManagerClient, RefusedIdentityError
from qfedfm.security.qkd.ledger import Draw, Ledger
from qfedfm.security.qkd.store import NoKeysError, StoredKey

_log = logging.getLogger(__name__)
Answer = TypeVar("Answer")
KEY_ID_BYTES = 36
"""A UUID as text: what the sender tells the receiver of each key."""
SECONDS_BETWEEN = 0.5
"""Between two requests to a key manager that has no keys."""


@dataclass(frozen=True)
class _Offer:
    smallest: int
    largest: int
    at_once: int


class ManagedLinks:
    """A :class:`~qfedfm.security.channel.sources.KeySource` of real links, or of ``qfedfm qkd serve``.

    Args:
        config: Where the key manager is and who asks.
        ledger: Where draws are recorded.
        wait: Whether to ask again while there are no keys, for ``config.patience`` seconds.

    Raises:
        RequestError: A certificate, a key or the authority cannot be read.
    """

    def __init__(self, config: KeyManagerConfig, ledger: Ledger, *, wait: bool) -> None:
        self._config, self._ledger = config, ledger
        self._patience = config.patience if wait else 0.0
        self._clients: dict[str, KeyManagerClient] = {}
        self._offers: dict[tuple[str, str], _Offer] = {}
        self._of(config.server)

    def begin_round(self, round_number: int) -> None:
        """Nothing to do: the key manager watches its links."""

    def wait_for(self, needs: Mapping[int, int]) -> float:
        """Returns 0: the simulated clock does not run while a real key manager makes keys."""
        return 0.0

    def fill(self, clients: Iterable[int]) -> None:
        """Nothing to do: the key manager fills its own pools."""

    def record(self) -> dict[str, Any]:
        """Returns nothing: what the key manager holds would not be the same in another run."""
        return {}

    def draw(self, client: int, direction: str, bits: int, purpose: str, round_number: int) -> Drawn:
        """Returns a key of ``bits`` bits, put together from as many as the key manager's limits ask for.

        Raises:
            ShortageError: The key manager has no keys.
            RequestError: It does not know one of the two, or its limits cannot make such a key.
            UsedKeyError: The receiver's copy was delivered before.
        """
        peer = self._config.name_of(client)
        sender, receiver = (
            (peer, self._config.server) if direction == "upload" else (self._config.server, peer)
        )
        offer = self._offer(sender, receiver)
        sent: list[StoredKey] = []
        received: dict[str, bytes] = {}
        for number, size in _requests(bits // 8, offer):
            ask = partial(self._of(sender).enc_keys, receiver, number, 8 * size)
            keys = self._patiently(sender, receiver, ask)
            for key in keys:
                self._ledger.record(
                    Draw(key.key_id, f"client-{client}", purpose, 8 * len(key.key), round_number)
                )
            fetch = partial(self._of(receiver).dec_keys, sender, [key.key_id for key in keys])
            copies = self._asked(receiver, sender, fetch)
            sent += keys
            received |= {key.key_id: key.key for key in copies}
        at_sender = b"".join(key.key for key in sent)
        at_receiver = b"".join(received.get(key.key_id, b"") for key in sent)
        if len(at_sender) != bits // 8 or len(at_receiver) != bits // 8:
            raise ChannelError(
                f"{sender} asked the key manager for {bits} key bits, it gave {8 * len(at_sender)} and "
                f"{receiver} {8 * len(at_receiver)}"
            )
        ends = (at_sender, at_receiver) if direction == "upload" else (at_receiver, at_sender)
        return Drawn("+".join(key.key_id for key in sent), *ends, announced=KEY_ID_BYTES * len(sent))

    def _of(self, sae: str) -> KeyManagerClient:
        if sae not in self._clients:
            config = self._config

            def path(text: str) -> Path:
                return Path(text.replace("{sae}", sae))

            for key, text in (
                ("certificate", config.certificate),
                ("key", config.key),
                ("authority", config.authority),
            ):
                if not path(text).is_file():
                    raise RequestError(
                        f"security.channel.key_manager.{key}: {path(text)}: there is no such file; "
                        "make identities with qfedfm certs or ask who runs the key manager"
                    )
            self._clients[sae] = KeyManagerClient(
                config.url.replace("{sae}", sae),
                Files(path(config.certificate), path(config.key)),
                path(config.authority),
            )
        return self._clients[sae]

    def _offer(self, sender: str, receiver: str) -> _Offer:
        if (sender, receiver) not in self._offers:
            found = self._asked(sender, receiver, partial(self._of(sender).status, receiver))
            try:
                limits = (found["min_key_size"], found["max_key_size"], found["max_key_per_request"])
                offer = _Offer(-(-int(limits[0]) // 8), int(limits[1]) // 8, int(limits[2]))
            except (KeyError, TypeError, ValueError) as error:
                raise RequestError(
                    "security.channel.key_manager.url: the status of the key manager does not say its limits "
                    f"({error}); it must speak ETSI GS QKD 014"
                ) from error
            self._offers[sender, receiver] = offer
        return self._offers[sender, receiver]

    def _asked(self, who: str, other: str, ask: Callable[[], Answer]) -> Answer:
        try:
            return ask()
        except RefusedIdentityError as error:
            raise RequestError(
                f"security.channel.key_manager: {who} may not share keys with {other} ({error}); the common "
                "name of its certificate must be an application that the key manager knows on that link"
            ) from error

    def _patiently(self, who: str, other: str, ask: Callable[[], Answer]) -> Answer:
        """Returns the answer, asking again while there are no keys."""
        until = time.monotonic() + self._patience
        told = False
        while True:
            try:
                return self._asked(who, other, ask)
            except NoKeysError as error:
                if time.monotonic() + SECONDS_BETWEEN > until:
                    waited = f" after {self._patience:g} s" if self._patience else ""
                    raise ShortageError(f"no key for {who} and {other}{waited}: {error}") from error
                if not told:
                    _log.warning("waiting for the key manager: %s", error)
                    told = True
                time.sleep(SECONDS_BETWEEN)


def _requests(octets: int, offer: _Offer) -> list[tuple[int, int]]:
    """Returns (number of keys, bytes of each) whose sum is ``octets``, in requests within the offer.

    Raises:
        RequestError: No sum of keys within the offer is ``octets``.
    """
    pieces = -(-octets // offer.largest) if offer.largest > 0 else 0
    size, longer = divmod(octets, pieces) if pieces else (0, 0)
    if pieces == 0 or size < offer.smallest or offer.at_once < 1:
        raise RequestError(
            f"security.channel.key_manager: keys of {8 * offer.smallest} to {8 * offer.largest} bits do not "
            f"add up to the {8 * octets} bits of a message; use cipher aes-gcm, or ask for other limits"
        )
    requests = []
    for number, each in ((longer, size + 1), (pieces - longer, size)):
        while number > 0:
            requests.append((min(number, offer.at_once), each))
            number -= offer.at_once
    return requests

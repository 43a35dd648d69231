"""Serving the key delivery interface with mutual TLS over a simulated link."""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from qfedfm.core.errors import RequestError
from qfedfm.core.random import Streams
from qfedfm.security.certificates import Files, common_name, server_context
from qfedfm.security.qkd.link.eve import NoEve
from qfedfm.security.qkd.link.outcome import Abort
from qfedfm.security.qkd.link.pulses import AnyEve
from qfedfm.security.qkd.link.session import pulses_for, run_session
from qfedfm.security.qkd.rates.lim_optimum import optimised
from qfedfm.security.qkd.rates.presets import LinkParameters
from qfedfm.security.qkd.store import KeyStore

if TYPE_CHECKING:
    from fastapi import FastAPI
    from uvicorn import Server

_log = logging.getLogger(__name__)


def make_server(
    app: FastAPI, identity: Files, authority: Any, host: str = "127.0.0.1", port: int = 0
) -> Server:
    """Returns a uvicorn server that asks for client certificates and tells the application whose they are.

    uvicorn hands no peer certificate to the application, so its protocol class is extended by one that reads
    it from the TLS object when the connection is made.
    """
    try:
        import uvicorn
        from uvicorn.protocols.http.h11_impl import H11Protocol
    except ImportError as error:
        raise RequestError("serving keys needs the extra qfedfm[qkd]") from error

    class WithPeer(H11Protocol):
        """HTTP/1.1 with the peer's identity in every request's state."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            tls = transport.get_extra_info("ssl_object")
            name = common_name(tls.getpeercert() or {}) if tls is not None else None
            self.app_state = {**self.app_state, "sae": name}

    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=WithPeer,
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_level="warning",
        ssl_certfile=str(identity.certificate),
        ssl_keyfile=str(identity.key),
        ssl_ca_certs=str(authority),
    )
    config.load()
    config.ssl = server_context(identity, authority)
    return uvicorn.Server(config)


class LinkFeeder:
    """Runs sessions over a simulated link and puts their keys into the store, until stopped.

    Args:
        store: Where keys go.
        pair: Whose.
        link: The link.
        distance: Kilometres.
        block: Raw key bits of a session.
        eve: Who is in the middle.
        pause: Seconds between sessions.
    """

    def __init__(
        self,
        store: KeyStore,
        pair: tuple[str, str],
        link: LinkParameters,
        distance: float,
        block: float = 200_000,
        eve: AnyEve | None = None,
        pause: float = 1.0,
    ) -> None:
        self._store, self._pair, self._pause = store, pair, pause
        self._link = optimised(link, distance, block)
        self._distance, self._eve = distance, eve or NoEve()
        self._pulses = pulses_for(self._link, distance, block)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.last: str = "no session yet"

    def once(self) -> int:
        """Runs one session; returns how many bytes of key the store took."""
        streams = Streams(secrets.randbits(128))  # the keys are for use: nobody may repeat the session
        outcome = run_session(self._link, self._distance, self._pulses, streams, eve=self._eve)
        if isinstance(outcome, Abort):
            self.last = outcome.sentence
            _log.warning("no key from the link between %s and %s: %s", *self._pair, outcome.sentence)
            return 0
        whole = len(outcome.alice) // 8 * 8
        self.last = f"{whole} bits"
        return self._store.add(*self._pair, np.packbits(outcome.alice[:whole]).tobytes())

    def start(self) -> None:
        """Begins to run sessions in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Ends after the session in flight."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        limits = self._store.limits
        while not self._stop.is_set():
            if self._store.stored_key_count(*self._pair) < limits.max_key_count:
                self.once()
            self._stop.wait(self._pause)

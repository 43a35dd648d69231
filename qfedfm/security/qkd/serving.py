"""``qfedfm qkd serve``: store, links and server together."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from qfedfm.core.errors import RequestError
from qfedfm.security.certificates import AUTHORITY, Files
from qfedfm.security.qkd.rates.presets import preset
from qfedfm.security.qkd.store import KeyStore


def serve(
    path: Path,
    folder: Path,
    name: str,
    pairs: Sequence[str],
    *,
    host: str,
    port: int,
    preset_name: str,
    distance: float,
    block: int,
    with_link: bool,
    as_json: bool,
    say: Callable[[str], object],
) -> None:
    """Serves until interrupted; arguments as on the command line."""
    try:
        from qfedfm.security.qkd.key_manager_api import application
    except ImportError as error:
        raise RequestError("serving keys needs the extra qfedfm[qkd]") from error
    from qfedfm.security.qkd.key_manager_server import LinkFeeder, make_server

    identity, authority = Files(folder / f"{name}.pem", folder / f"{name}.key"), folder / f"{AUTHORITY}.pem"
    for file in (identity.certificate, identity.key, authority):
        if not file.is_file():
            raise RequestError(f"{file}: there is no such file; make identities with qfedfm certs")
    linked = [parse_pair(pair) for pair in pairs]
    link, store = preset(preset_name), KeyStore(path)
    app = application(store, linked, (f"{name}-a", f"{name}-b"))
    server = make_server(app, identity, authority, host, port)
    try:
        listening = socket.create_server((host, port))
    except OSError as error:
        raise RequestError(f"{host}:{port}: cannot be listened on ({error.strerror})") from error
    where = f"https://{host}:{listening.getsockname()[1]}"
    say(
        json.dumps({"url": where, "pairs": linked}) if as_json else f"serving keys at {where}, Ctrl-C to stop"
    )
    feeders = [LinkFeeder(store, pair, link, distance, block) for pair in linked] if with_link else []
    for feeder in feeders:
        feeder.start()
    try:
        server.run(sockets=[listening])
    finally:
        for feeder in feeders:
            feeder.stop()
        listening.close()


def parse_pair(text: str) -> tuple[str, str]:
    """Returns the two names of ``SAE:SAE``."""
    a, colon, b = text.partition(":")
    if not colon or not a or not b or a == b:
        raise RequestError(f"--pair {text}: expected two different names, for example alice:bob")
    return a, b

"""The process that stays: Flower starts a new one for each message, and that one only passes bytes on.

The client that stays keeps the model and the cached prefix in memory, and what must never lie on a disk: its
update and its secrets in a sum protocol. They talk over a Unix socket that only this user can open.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from qfedfm.core.errors import RunError
from qfedfm.core.files import write_atomic

WHERE = "worker.json"
LENGTH = 8
_log = logging.getLogger(__name__)


class Worker:
    """Answers messages on a socket.

    Args:
        folder: Where the socket's path is written.
        answer: The function from a message to its reply; called by one thread at a time.
    """

    def __init__(self, folder: Path, answer: Callable[[bytes], bytes]) -> None:
        self._answer = answer
        self._place = Path(tempfile.mkdtemp(prefix="qfedfm-"))  # socket paths are short; only we can enter
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(self._place / "socket"))
        self._socket.listen(8)
        write_atomic(folder / WHERE, json.dumps({"socket": str(self._place / "socket"), "pid": os.getpid()}))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops answering."""
        self._socket.close()
        shutil.rmtree(self._place, ignore_errors=True)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                try:
                    send(connection, self._answer(receive(connection)))
                except Exception:
                    # The other side sees a closed connection and says so.
                    _log.exception("a message could not be answered")


def ask(folder: Path, message: bytes) -> bytes:
    """Returns the worker's reply.

    Raises:
        RunError: There is no worker, or it failed.
    """
    try:
        path = json.loads((folder / WHERE).read_text())["socket"]
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(path)
            send(connection, message)
            return receive(connection)
    except (OSError, ValueError, KeyError) as error:
        raise RunError(f"the client's process does not answer: {error}") from error


def send(connection: socket.socket, content: bytes) -> None:
    """Sends a length and the content."""
    connection.sendall(len(content).to_bytes(LENGTH, "big"))
    connection.sendall(content)


def receive(connection: socket.socket) -> bytes:
    """Returns one content.

    Raises:
        OSError: The connection ended before it was whole.
    """
    return _exactly(connection, int.from_bytes(_exactly(connection, LENGTH), "big"))


def _exactly(connection: socket.socket, count: int) -> bytes:
    content = bytearray(count)
    view, at = memoryview(content), 0
    while at < count:
        got = connection.recv_into(view[at:])
        if not got:
            raise OSError("the connection ended early")
        at += got
    return bytes(content)

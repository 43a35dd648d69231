"""The process that stays: Flower starts a new one for each message, and that one only passes bytes on.

The client that stays keeps the model and the cached prefix in memory, and what must never lie on a disk: its
update and its secrets in a sum protocol. They talk over a Unix socket that only this user can open.
``messages.jsonl`` says of each message where its time went.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from qfedfm.core.errors import RunError
from qfedfm.core.files import write_atomic

WHERE, TIMES = "worker.json", "messages.jsonl"
LENGTH = 8
_log = logging.getLogger(__name__)


class Worker:
    """Answers messages on a socket.

    Args:
        folder: Where the socket's path is written.
        answer: The function from a message to its reply; called by one thread at a time.
        trained: Returns the seconds of local training in the last reply.
    """

    def __init__(
        self, folder: Path, answer: Callable[[bytes], bytes], trained: Callable[[], float] = lambda: 0.0
    ) -> None:
        self._folder = folder
        self._answer = answer
        self._trained = trained
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
                    age = float(receive(connection))
                    message = receive(connection)
                    began = time.perf_counter()
                    reply = self._answer(message)
                    spent = time.perf_counter() - began
                    self._note(age, len(message), len(reply), spent)
                    send(connection, reply)
                except Exception:
                    # The other side sees a closed connection and says so.
                    _log.exception("a message could not be answered")

    def _note(self, age: float, received: int, sent: int, spent: float) -> None:
        line = {
            "received_bytes": received,
            "sent_bytes": sent,
            "process_seconds": age,
            "answer_seconds": spent,
            "training_seconds": self._trained(),
        }
        with (self._folder / TIMES).open("a") as stream:
            stream.write(json.dumps(line) + "\n")


def ask(folder: Path, message: bytes) -> bytes:
    """Returns the worker's reply.

    Raises:
        RunError: There is no worker, or it failed.
    """
    try:
        path = json.loads((folder / WHERE).read_text())["socket"]
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(path)
            send(connection, f"{_age():.3f}".encode())
            send(connection, message)
            return receive(connection)
    except (OSError, ValueError, KeyError) as error:
        raise RunError(f"the client's process does not answer: {error}") from error


def _age() -> float:
    """Returns for how many seconds this process has been running; 0 where the system does not say."""
    try:
        since_boot = float(Path("/proc/uptime").read_text().split()[0])
        started = float(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return since_boot - started / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return 0.0


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

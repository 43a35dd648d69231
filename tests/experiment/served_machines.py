"""A federation of processes on this machine: ``qfedfm serve`` and ``qfedfm join``, run by tests."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import yaml

PATIENCE = 900.0
"""Seconds after which a test gives up; processes start slowly on a busy machine."""

FILE = {
    "name": "served",
    "seed": 3,
    "data": {
        "source": "features",
        "features": {"samples": 30, "dimension": 8, "classes": 3, "test_samples": 60},
        "partition": {"kind": "dirichlet", "clients": 2, "alpha": 1.0},
    },
    "model": {"adapter": {"kind": "none"}, "head": {"kind": "linear"}},
    "federation": {"rounds": 3, "batch_clients": 1, "flower": {"deadline": 300}},
    "client": {"optimizer": {"kind": "sgd", "lr": 0.05}, "algorithm": {"kind": "scaffold"}},
    "device": "cpu",
}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Served:
    """One server and its clients; leaving the context ends them all."""

    def __init__(self, folder: Path, content: dict, secure: bool = True) -> None:
        self.folder, self.secure, self.port = folder, secure, free_port()
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "experiment.yaml"
        self.file.write_text(yaml.safe_dump(content))
        self.out = folder / "run"
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *error: object) -> None:
        for name in list(self.running):
            self.end(name)

    def inside(self, name: str) -> list[str]:
        """Returns what goes before a process's command, for tests that run it elsewhere."""
        return []

    def start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.txt").open("ab") as log:
            process = subprocess.Popen(
                [*self.inside(name), sys.executable, "-m", "qfedfm.cli.main", *arguments],
                cwd=self.folder,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.running[name] = process
        return process

    def serve(self) -> subprocess.Popen[bytes]:
        flags = [] if self.secure else ["--insecure"]
        place = ["--port", str(self.port), "--bind", "127.0.0.1", "--state", "state", "--out", str(self.out)]
        return self.start("server", "serve", str(self.file), *place, *flags)

    def join(self, client: int, *options: str, ticket: Path | None = None) -> subprocess.Popen[bytes]:
        ticket = ticket or self.folder / "state" / "tickets" / f"client-{client}.json"
        self.until(lambda: "a client joins with" in self.said("server"), "the tickets")
        keys = ["--keys", str(self.out / "qkd-keys.sqlite")]
        return self.start(
            f"client-{client}", "join", "--ticket", str(ticket), "--partition", str(client), *keys, *options
        )

    def end(self, name: str, how: signal.Signals = signal.SIGTERM) -> None:
        """Ends a process and what it started (which Flower puts into sessions of its own)."""
        process = self.running.pop(name)
        everybody = descendants(process.pid)
        for pid in [process.pid, *everybody]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(15)
        for pid in [process.pid, *everybody]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()

    def said(self, name: str) -> str:
        path = self.folder / f"{name}.txt"
        return path.read_text() if path.exists() else ""

    def until(self, happened, what: str) -> None:
        ending = time.monotonic() + PATIENCE
        while not happened():
            server = self.running.get("server")
            assert server is None or server.poll() in (None, 0), self.said("server")
            assert time.monotonic() < ending, f"{what} did not come: {self.said('server')}"
            time.sleep(0.2)

    def finished(self) -> Path:
        server = self.running["server"]
        self.until(lambda: server.poll() is not None, "the end of the run")
        assert server.returncode == 0, self.said("server")
        return self.out


def descendants(pid: int) -> list[int]:
    """Returns all processes that come from ``pid``, whatever session they are in."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found, frontier = [], [pid]
    while frontier:
        frontier = [child for child, parent in parents.items() if parent in frontier]
        found += frontier
    return found


class Tap:
    """A TCP relay to the server that keeps all bytes that pass, as a wire would show them."""

    def __init__(self, port: int) -> None:
        self._target, self._socket = port, socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.seen: list[bytes] = []
        self._ends: list[socket.socket] = [self._socket]
        self._relays: list[threading.Thread] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> bytes:
        """Ends the relay; returns all bytes that passed."""
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        for relay in self._relays:
            relay.join(10)
        return b"".join(self.seen)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
                self._ends.append(client)
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                return
            self._ends.append(server)
            for pair in ((client, server), (server, client)):
                self._relays.append(threading.Thread(target=self._relay, args=pair, daemon=True))
                self._relays[-1].start()

    def _relay(self, source: socket.socket, target: socket.socket) -> None:
        seen = bytearray()
        with contextlib.suppress(OSError):
            while content := source.recv(1 << 16):
                seen += content
                target.sendall(content)
        self.seen.append(bytes(seen))
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

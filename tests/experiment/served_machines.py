"""A federation of processes on this machine: ``qfedfm serve`` and ``qfedfm join``, run by tests."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

PATIENCE = 900.0
"""Seconds after which a test gives up; processes start slowly on a busy machine."""

CLI = ("-m", "qfedfm.cli.main")
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


MARK = "QFEDFM_TEST_FEDERATION"
"""Environment variable: whose every process of a federation is, inherited by all that it starts."""


def free_port() -> int:
    """Returns a port on which nobody listens, and that no outgoing connection is given."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.SystemRandom().randrange(10_000, lowest)
        with contextlib.suppress(OSError), socket.socket() as found:
            found.bind(("127.0.0.1", port))
            return port


class Served:
    """One server and its clients; leaving the context ends them all."""

    def __init__(self, folder: Path, content: dict, secure: bool = True) -> None:
        self.folder, self.secure, self.port = folder, secure, free_port()
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "experiment.yaml"
        self.file.write_text(yaml.safe_dump(content))
        self.out = folder / "run"
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.left_behind: list[str] = []
        """Command lines of processes that were there when what had started them had ended by itself."""

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *error: object) -> None:
        for process in self.running.values():
            process.terminate()
        for name in list(self.running):
            self.end(name)

    def inside(self, name: str) -> list[str]:
        """Returns what goes before a process's command, for tests that run it elsewhere."""
        return []

    def start(self, name: str, *arguments: str, program: Sequence[str] = CLI) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.txt").open("ab") as log:
            process = subprocess.Popen(
                [*self.inside(name), sys.executable, *program, *arguments],
                cwd=self.folder,
                env={**os.environ, "OMP_NUM_THREADS": "1", MARK: self._mark(name)},
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

    def join(
        self, client: int, *options: str, ticket: Path | None = None, program: Path | None = None
    ) -> subprocess.Popen[bytes]:
        """Starts a client, or another program that takes the same options."""
        ticket = ticket or self.folder / "state" / "tickets" / f"client-{client}.json"
        self.until(lambda: "a client joins with" in self.said("server"), "the tickets")
        keys = ["--keys", str(self.out / "qkd-keys.sqlite")]
        how = [*CLI, "join"] if program is None else [str(program)]
        place = ["--ticket", str(ticket), "--partition", str(client), *keys]
        return self.start(f"client-{client}", *place, *options, program=how)

    def end(self, name: str) -> None:
        """Ends a process as its user would; what it leaves behind is noted and killed."""
        process = self.running.pop(name)
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(60)
        self.left_behind += [command(pid) for pid in self.family(name)]
        self._kill(name)
        process.wait()

    def kill(self, name: str) -> None:
        """Kills a process and all that it started, as when its machine goes down."""
        process = self.running.pop(name)
        self._kill(name)
        process.wait()

    def family(self, name: str) -> list[int]:
        """Returns a process and all that it started, whatever session they are in."""
        mark, found = f"{MARK}={self._mark(name)}".encode(), []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
        return found

    def said(self, name: str) -> str:
        path = self.folder / f"{name}.txt"
        return path.read_text() if path.exists() else ""

    def supernode(self, client: int) -> str:
        """Returns what a client's SuperNode has logged."""
        path = self.folder / "joined" / f"client-{client}" / "supernode.txt"
        return path.read_text(errors="replace") if path.exists() else ""

    def until(self, happened: Callable[[], bool], what: str) -> None:
        ending = time.monotonic() + PATIENCE
        while not happened():
            for name, process in self.running.items():
                ended = process.poll()
                assert ended in (None, 0), f"{name} ended: {self.said(name)}"
            assert time.monotonic() < ending, f"{what} did not come: {self.said('server')}"
            time.sleep(0.2)

    def finished(self) -> Path:
        server = self.running["server"]
        self.until(lambda: server.poll() is not None, "the end of the run")
        return self.out

    def _mark(self, name: str) -> str:
        return f"{self.folder}:{name}"

    def _kill(self, name: str) -> None:
        while left := self.family(name):
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)


def command(pid: int) -> str:
    """Returns a process's command line."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


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

"""How much memory the processes of a federation take at most (Linux)."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

ROLES = {
    "machines.flower superlink": "superlink",
    "flwr-serverapp": "server",
    "machines.flower supernode": "supernode",
    "flwr-clientapp": "message_process",
    "qfedfm.cli.main join": "client",
}
"""What a process's command line says, and what it is then."""
EVERY_SECONDS = 0.2


@contextlib.contextmanager
def most_memory(folder: Path) -> Iterator[dict[str, float]]:
    """Watches the processes whose working directory or environment has ``folder`` in it.

    Yields:
        The most bytes of memory (peak resident set) that one process of each role has taken; complete when
        the context is left.
    """
    found: dict[str, float] = {}
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(EVERY_SECONDS):
            for entry in Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError, IndexError, ValueError):
                    _note(entry, folder, found)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()


def _note(entry: Path, folder: Path, found: dict[str, float]) -> None:
    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    role = next((role for sign, role in ROLES.items() if sign in command), None)
    if role is None:
        return
    here = os.readlink(entry / "cwd").startswith(str(folder))
    if here or str(folder).encode() in (entry / "environ").read_bytes():
        kib = int((entry / "status").read_text().partition("VmHWM:")[2].split()[0])
        found[role] = max(found.get(role, 0.0), 1024.0 * kib)

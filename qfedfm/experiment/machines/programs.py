"""Flower's programs as processes that end with ours, or are ended by the next one of ours."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from qfedfm.core.errors import RequestError
from qfedfm.core.files import write_atomic

GRACE_SECONDS = 10.0
SERVE, JOIN = "QFEDFM_SERVE", "QFEDFM_JOIN"
"""Environment variables: the folders of ``qfedfm serve`` and ``qfedfm join``."""


def flower_program(name: str) -> str:
    """Returns the path of one of Flower's programs, beside the running Python.

    Raises:
        RequestError: Flower is not installed.
    """
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        raise RequestError(
            f"engine flower needs the program {name}, which is not installed; install qfedfm[flower]"
        )
    return str(path)


def flower_environment(state: Path, variable: str) -> dict[str, str]:
    """Returns the environment of Flower's programs: a home of their own, no telemetry, our folder."""
    return {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_HOME": str(state / "flower"),
        variable: str(state),
    }


@contextlib.contextmanager
def running(
    state: Path, name: str, command: Sequence[str], environment: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a program, its output in ``<name>.txt``, its number in ``<name>.pid``; ends it on leaving."""
    with (state / f"{name}.txt").open("ab") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    write_atomic(state / f"{name}.pid", str(process.pid))
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        (state / f"{name}.pid").unlink(missing_ok=True)


def end_left_over(state: Path, name: str) -> None:
    """Ends the program that a killed process of ours left behind, if it is still that program."""
    path = state / f"{name}.pid"
    if not path.exists():
        return
    pid = int(path.read_text())
    for how in (signal.SIGTERM, signal.SIGKILL):
        ending = time.monotonic() + GRACE_SECONDS
        while _is(pid, name) and time.monotonic() < ending:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, how)
            time.sleep(0.2)
    path.unlink(missing_ok=True)


def _is(pid: int, name: str) -> bool:
    """Returns whether a process is one of Flower's of that name."""
    try:
        return f"flower-{name}".encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


@contextlib.contextmanager
def ending_on_terminate() -> Iterator[None]:
    """Makes SIGTERM end this process as Ctrl-C does, so that what it started ends with it."""

    def interrupted(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

"""Flower's programs as processes that end with ours, or are ended by the next one of ours."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from qfedfm.core.errors import RequestError

GRACE_SECONDS = 10.0
RESULT = "result.json"
"""The file in a server's folder that says how the run ended."""
SERVE, JOIN = "QFEDFM_SERVE", "QFEDFM_JOIN"
"""Environment variables: the folders of ``qfedfm serve`` and ``qfedfm join``."""


def flower_program(name: str) -> list[str]:
    """Returns the command of one of Flower's programs, ``superlink`` or ``supernode``, as we run it.

    Raises:
        RequestError: Flower is not installed.
    """
    if importlib.util.find_spec("flwr") is None:
        raise RequestError(
            f"engine flower needs the program flower-{name}, which is not installed; install qfedfm[flower]"
        )
    return [sys.executable, "-m", "qfedfm.experiment.machines.flower", name]


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
    """Runs a program, its output in ``<name>.txt``; ends it on leaving, and all that it started."""
    with (state / f"{name}.txt").open("ab") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        end_left_over(state)


def end_left_over(state: Path) -> None:
    """Ends what Flower's programs of this folder left behind, as when they or ``qfedfm`` were killed.

    Flower starts further processes in sessions of their own (SuperExec, an app for each message, the
    ServerApp), and such a ServerApp would go on with the run beside the next one.
    """
    for how in (signal.SIGTERM, signal.SIGKILL):
        ending, told = time.monotonic() + GRACE_SECONDS, set[int]()
        while (left := family(state)) and time.monotonic() < ending:
            for pid in left - told:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, how)
            told |= left
            time.sleep(0.1)


def family(state: Path) -> set[int]:
    """Returns the processes that were started with this folder in their environment, but not this one.

    Where the system has no ``/proc`` none are found.
    """
    marks = {f"{name}={state}".encode() for name in (SERVE, JOIN)}
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if marks & set((entry / "environ").read_bytes().split(b"\0")):
                found.add(int(entry.name))
    return found - {os.getpid()}


@contextlib.contextmanager
def ending_on_terminate() -> Iterator[None]:
    """Makes SIGTERM end this process as Ctrl-C does, so that what it started ends with it.

    A second one changes nothing: it would cut off the ending of what was started.
    """

    def interrupted(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

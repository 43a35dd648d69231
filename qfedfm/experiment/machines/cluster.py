"""A Ray cluster for Flower's simulation engine: connecting to it, and stopping what runs there."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qfedfm.core.errors import RequestError, RunError
from qfedfm.experiment.rounds import InterruptedRunError

if TYPE_CHECKING:
    from flwr.app import Message
    from flwr.serverapp import Grid

CONNECT_SECONDS = 10.0
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
}
"""Nothing is reported to anybody, and Ray does not warn of its own defaults."""
ATTEMPTS = 3
"""Ray gives up after half a minute, which is not enough on a busy machine."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cluster:
    """Where clients run, and how many at a time.

    Args:
        address: Of a running Ray cluster (``auto``, ``HOST:PORT``, ``ray://HOST:PORT``); None starts Ray on
            this machine.
        cpus: Cores of each client, which are also its threads.
        gpus: GPUs of each client; a part of one is allowed.
    """

    address: str | None = None
    cpus: float = 1.0
    gpus: float = 0.0

    @property
    def resources(self) -> dict[str, float]:
        """What Flower's simulation engine is told of a client."""
        return {"num_cpus": self.cpus, "num_gpus": self.gpus}

    def connect(self) -> None:
        """Connects this process to the cluster, or starts one; Flower's engine then uses and closes it.

        Raises:
            RequestError: The address is none.
            RunError: Nobody is there, or Ray did not start.
        """
        self._check_there()
        import ray

        path = os.pathsep.join(part for part in sys.path if part)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                ray.init(
                    address=self.address or "local",
                    include_dashboard=None if self.address else False,
                    logging_level=logging.ERROR,
                    log_to_driver=False,
                    runtime_env={"env_vars": {"PYTHONPATH": path}},
                )
                return
            except Exception as error:
                ray.shutdown()
                if self.address is not None or attempt == ATTEMPTS:
                    where = f"at {self.address} " if self.address is not None else ""
                    raise RunError(f"Ray {where}did not start: {sentence_of(error)}") from error

    def _check_there(self) -> None:
        """Asks whether somebody answers at the address: Ray itself would try for many minutes."""
        if self.address is None or self.address == "auto":
            return
        host, _, port = self.address.removeprefix("ray://").rpartition(":")
        if not host or not port.isdigit():
            raise RequestError(
                f"--ray {self.address} is no address; give here, auto, HOST:PORT or ray://HOST:PORT"
            )
        try:
            socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
        except (OSError, OverflowError) as error:
            raise RunError(f"there is no Ray cluster at {self.address}: {error}") from error


class Stop:
    """Ctrl-C: the first one ends the run after its round, the second at once."""

    def __init__(self) -> None:
        self.soon, self.now = threading.Event(), threading.Event()

    def after_round(self, line: dict[str, Any]) -> None:
        """Ends the run after a round if that was asked for."""
        if self.soon.is_set():
            raise InterruptedRunError(f"stopped after round {line['round']}; continue with --resume")

    @contextmanager
    def on_interrupt(self) -> Iterator[None]:
        """Listens to Ctrl-C in the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def pressed(number: int, frame: object) -> None:
            if self.soon.is_set():
                self.now.set()
                signal.signal(signal.SIGINT, before)
            else:
                self.soon.set()
                _log.warning("stopping after this round; press Ctrl-C again to stop at once")

        before = signal.signal(signal.SIGINT, pressed)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


class StoppableGrid:
    """A grid that nobody waits for when the run is stopped at once.

    Args:
        grid: Flower's.
        stop: Set by the second Ctrl-C, and when Ray has failed.
        clients: How many SuperNodes are simulated.
    """

    def __init__(self, grid: Grid, stop: Stop, clients: int) -> None:
        self._grid, self._stop, self._clients = grid, stop, clients

    def get_node_ids(self) -> list[int]:
        """Returns the simulated SuperNodes; Flower registers them while the run begins."""
        while True:
            self._check()
            nodes = list(self._grid.get_node_ids())
            if len(nodes) >= self._clients:
                return nodes
            time.sleep(0.05)

    def push_messages(self, messages: Sequence[Message]) -> Sequence[str]:
        """Sends."""
        return list(self._grid.push_messages(list(messages)))

    def pull_messages(self, message_ids: Sequence[str]) -> Sequence[Message]:
        """Returns the replies that are there."""
        self._check()
        return list(self._grid.pull_messages(list(message_ids)))

    def _check(self) -> None:
        if self._stop.now.is_set():
            raise KeyboardInterrupt


@contextmanager
def quiet_logs() -> Iterator[None]:
    """Keeps Flower's own log from mixing with ours; what fails comes back as an error."""
    logger = logging.getLogger("flwr")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def sentence_of(error: BaseException) -> str:
    """Returns what an error's first cause says, in one line."""
    cause = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    return " ".join(f"{type(cause).__name__}: {cause}".split())[:300]

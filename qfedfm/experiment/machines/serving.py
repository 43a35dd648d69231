"""``qfedfm serve``: a SuperLink with TLS and node keys, and the experiment as a Flower run on it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qfedfm.core.errors import RequestError, RunError
from qfedfm.core.files import write_atomic
from qfedfm.experiment.config import Experiment
from qfedfm.experiment.machines.app import SERVE
from qfedfm.experiment.machines.server import key_of
from qfedfm.experiment.machines.tickets import Ticket, node_key

CONNECTION = "served"
STARTING_SECONDS = 180.0
APP = """[project]
name = "qfedfm-served"
version = "1.0.0"
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "qfedfm"

[tool.flwr.app.components]
serverapp = "served:server"
clientapp = "served:client"
"""
MODULE = """# What the machines run: the installed qfedfm.
from qfedfm.experiment.machines import app

client = app.client
server = app.server
"""


@dataclass(frozen=True)
class Serving:
    """How an experiment is served.

    Args:
        experiment: What is run.
        state: Where certificates, tickets, the SuperLink's database and logs lie.
        host: The name or address by which clients reach this machine.
        port: The SuperLink's port.
        bind: The address that it listens on.
        out: The run's folder, or None for a name under ``root``.
        root: Where run folders go.
        secure: Whether TLS and node keys are on.
    """

    experiment: Experiment
    state: Path
    host: str = "localhost"
    port: int = 8000
    bind: str = "0.0.0.0"
    out: Path | None = None
    root: Path = Path("runs")
    secure: bool = True

    @property
    def clients(self) -> int:
        """How many tickets are written."""
        clients = getattr(self.experiment.data.partition, "clients", None)
        if clients is None:
            raise RequestError(
                "data.partition.clients is not given, so it is not known how many clients may join; set it"
            )
        return int(clients)


def serve(serving: Serving, say: Callable[[str], None]) -> Path:
    """Serves until the experiment is complete; returns the run's folder.

    Called again with the same folder it goes on where it was: nothing is made twice, the run is resumed.

    Raises:
        RequestError: The experiment cannot be served.
        RunError: The SuperLink or the run failed.
    """
    state = serving.state.resolve()
    _claim(serving, state)
    tickets = _tickets(serving, state)
    (state / "result.json").unlink(missing_ok=True)
    request = {
        "experiment": serving.experiment.plain(),
        "out": str(serving.out.resolve()) if serving.out is not None else None,
        "root": str(serving.root.resolve()),
    }
    write_atomic(state / "request.json", json.dumps(request))
    (state / "progress.txt").write_text("")
    environment = flower_environment(state, SERVE)
    how = "TLS and node keys" if serving.secure else "no TLS"
    say(f"starting the SuperLink on port {serving.port} ({how})")
    with (state / "superlink.txt").open("ab") as log:
        superlink = subprocess.Popen(
            _superlink(serving, state), env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            _wait_until_up(serving, superlink, state)
            _register(serving, state, environment)
            _flwr(["run", str(state / "app"), CONNECTION, "--format", "json"], environment, "start the run")
            for path in tickets:
                say(f"a client joins with: qfedfm join --ticket {path} --data FILE")
            return _follow(state, superlink, say)
        finally:
            stop(superlink)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends a process that was started in a session of its own, and all that it started."""
    for what in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, what)
            process.wait(10)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def _claim(serving: Serving, state: Path) -> None:
    """Makes the folder this experiment's; certificates and keys of one are never used for another."""
    key = key_of(serving.experiment.plain())
    mark = state / "experiment.json"
    if mark.exists():
        found = json.loads(mark.read_text())
        if found != {"key": key, "secure": serving.secure}:
            raise RequestError(
                f"{state}: holds the certificates and keys of another experiment, which are not used again; "
                "choose another folder with --state"
            )
        return
    if state.exists() and any(state.iterdir()):
        raise RequestError(f"{state}: is not empty; choose another folder with --state")
    state.mkdir(parents=True, exist_ok=True)
    state.chmod(0o700)
    app = state / "app"
    app.mkdir()
    (app / "pyproject.toml").write_text(APP)
    (app / "served.py").write_text(MODULE)
    (state / "flower").mkdir()
    root = (
        f'root-certificates = "{state / "certificates" / "authority.pem"}"'
        if serving.secure
        else "insecure = true"
    )
    (state / "flower" / "config.toml").write_text(
        f'[superlink]\ndefault = "{CONNECTION}"\n\n[superlink.{CONNECTION}]\n'
        f'address = "127.0.0.1:{serving.port}"\n{root}\n'
    )
    write_atomic(mark, json.dumps({"key": key, "secure": serving.secure}))


def _tickets(serving: Serving, state: Path) -> list[Path]:
    """Returns the clients' tickets; they are made on the first call."""
    from qfedfm.security.certificates import AUTHORITY, issue, make_authority

    certificates, address = state / "certificates", f"{serving.host}:{serving.port}"
    paths = [state / "tickets" / f"client-{k}.json" for k in range(serving.clients)]
    authority = ""
    if serving.secure:
        if not (certificates / f"{AUTHORITY}.key").exists():
            make_authority(certificates)
        if not (certificates / "server.key").exists():
            hosts = tuple(dict.fromkeys((serving.host, "localhost", "127.0.0.1")))
            issue(certificates, "server", hosts=hosts)
        authority = (certificates / f"{AUTHORITY}.pem").read_text()
    for k, path in enumerate(paths):
        if path.exists():
            continue
        private, public = node_key() if serving.secure else ("", "")
        if serving.secure:
            write_atomic(path.with_suffix(".pub"), public)
        Ticket(f"client-{k}", address, authority, private).write(path)
    return paths


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


def _superlink(serving: Serving, state: Path) -> list[str]:
    command = [flower_program("flower-superlink"), "--host", serving.bind, "--port", str(serving.port)]
    command += ["--database", str(state / "superlink.sqlite"), "--disable-runtime-dependency-installation"]
    if not serving.secure:
        return [*command, "--insecure"]
    files = state / "certificates"
    command += ["--ssl-certfile", str(files / "server.pem"), "--ssl-keyfile", str(files / "server.key")]
    return [*command, "--ssl-ca-certfile", str(files / "authority.pem"), "--enable-supernode-auth"]


def _wait_until_up(serving: Serving, superlink: subprocess.Popen[bytes], state: Path) -> None:
    import socket

    ending = time.monotonic() + STARTING_SECONDS
    while time.monotonic() < ending:
        if superlink.poll() is not None:
            raise RunError(f"the SuperLink ended at once; {state / 'superlink.txt'} says why")
        try:
            with socket.create_connection(("127.0.0.1", serving.port), 1):
                return
        except OSError:
            time.sleep(0.2)
    raise RunError(f"the SuperLink did not start within {STARTING_SECONDS:g} seconds")


def _register(serving: Serving, state: Path, environment: dict[str, str]) -> None:
    """Tells the SuperLink the clients' public keys, each once."""
    if not serving.secure:
        return
    mark = state / "registered.json"
    done: list[str] = json.loads(mark.read_text()) if mark.exists() else []
    for k in range(serving.clients):
        public = state / "tickets" / f"client-{k}.pub"
        if public.name not in done:
            _flwr(
                ["supernode", "register", str(public), CONNECTION, "--format", "json"],
                environment,
                "register",
            )
            done.append(public.name)
            write_atomic(mark, json.dumps(done))


def _flwr(arguments: Sequence[str], environment: dict[str, str], what: str) -> dict[str, Any]:
    """Runs one of Flower's commands and returns what it prints as JSON.

    Raises:
        RunError: It failed; the sentence has its reason.
    """
    done = subprocess.run(
        [flower_program("flwr"), *arguments], env=environment, capture_output=True, text=True, check=False
    )
    start = done.stdout.find("{")
    try:
        found = json.loads(done.stdout[start:]) if start >= 0 else {}
    except ValueError:
        found = {}
    if done.returncode or not found.get("success"):
        said = " ".join((found.get("error-message") or done.stderr or done.stdout).split())[-300:]
        raise RunError(f"Flower did not {what}: {said}")
    assert isinstance(found, dict)
    return found


def _follow(state: Path, superlink: subprocess.Popen[bytes], say: Callable[[str], None]) -> Path:
    """Shows what the run says until it has ended; returns its folder."""
    with (state / "progress.txt").open() as progress:
        while True:
            ended = (state / "result.json").exists()
            for line in progress:
                say(line.rstrip("\n"))
            if ended:
                result = json.loads((state / "result.json").read_text())
                if "error" in result:
                    kind = RequestError if result["exit_code"] == 2 else RunError
                    raise kind(result["error"])
                return Path(result["folder"])
            if superlink.poll() is not None:
                raise RunError(
                    f"the SuperLink ended; {state / 'superlink.txt'} says why, and serving again goes on "
                    "with the run"
                )
            time.sleep(0.3)

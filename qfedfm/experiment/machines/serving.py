"""``qfedfm serve``: a SuperLink with TLS and node keys, and the experiment as a Flower run on it."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qfedfm.core.errors import RequestError, RunError
from qfedfm.core.files import write_atomic
from qfedfm.data import MachinesPartition
from qfedfm.experiment.config import Experiment
from qfedfm.experiment.folder import RunFolder
from qfedfm.experiment.machines.programs import (
    RESULT,
    SERVE,
    end_left_over,
    flower_environment,
    flower_program,
    running,
)
from qfedfm.experiment.machines.server import key_of
from qfedfm.experiment.machines.tickets import REGISTERED, Ticket, node_key, registered

CONNECTION = "served"
STARTING_SECONDS = 180.0
FLOWERS = ("FLWR_HOME", "FLWR_TELEMETRY_ENABLED", "FLWR_DISABLE_UPDATE_CHECK")
"""What Flower's commands read of the environment."""
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

    def request(self) -> dict[str, Any]:
        """Returns what the ServerApp is asked to run, JSON-ready."""
        return {
            "experiment": self.experiment.plain(),
            "out": str(self.out.resolve()) if self.out is not None else None,
            "root": str(self.root.resolve()),
        }


def serve(serving: Serving, say: Callable[[str], None]) -> Path:
    """Serves until the experiment is complete; returns the run's folder.

    Called again with the same folder it goes on where it was: nothing is made twice, the run is resumed, and
    a complete one is not run again.

    Raises:
        RequestError: The experiment cannot be served.
        RunError: The SuperLink or the run failed.
    """
    state = serving.state.resolve()
    _claim(serving, state)
    done = _complete(serving, state)
    if done is not None:
        say(f"this experiment is complete in {done}; to run it again, choose another folder with --state")
        return done
    tickets = _tickets(serving, state)
    (state / RESULT).unlink(missing_ok=True)
    write_atomic(state / "request.json", json.dumps(serving.request()))
    (state / "progress.txt").write_text("")
    environment = flower_environment(state, SERVE)
    how = "TLS and node keys" if serving.secure else "no TLS"
    say(f"starting the SuperLink on port {serving.port} ({how})")
    end_left_over(state)
    with running(state, "superlink", _superlink(serving, state), environment) as superlink:
        _wait_until_up(serving, superlink, state)
        _register(serving, state, environment)
        _flwr(["run", str(state / "app"), CONNECTION], environment, "start the run")
        own = isinstance(serving.experiment.data.partition, MachinesPartition)
        for k, path in enumerate(tickets):
            data = "--data FILE" if own else f"--partition {k}"
            say(f"a client joins with: qfedfm join --ticket {_short(path)} {data}")
        return _follow(state, superlink, say)


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


def _short(path: Path) -> Path:
    """Returns a path as it is typed here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _complete(serving: Serving, state: Path) -> Path | None:
    """Returns the run's folder if all was done before."""
    path = state / RESULT
    folder = json.loads(path.read_text()).get("folder") if path.exists() else None
    if folder is None or not RunFolder(Path(folder)).summary.exists():
        return None
    wanted = serving.out
    return Path(folder) if wanted is None or wanted.resolve() == Path(folder).resolve() else None


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


def _superlink(serving: Serving, state: Path) -> list[str]:
    command = [*flower_program("superlink"), "--host", serving.bind, "--port", str(serving.port)]
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
    nodes = registered(state)
    for k in range(serving.clients):
        if k not in nodes:
            public = state / "tickets" / f"client-{k}.pub"
            command = ["supernode", "register", str(public), CONNECTION]
            said = _flwr(command, environment, f"register client {k}")
            found = re.search(r"SuperNode (\d+) registered", said)
            if found is None:
                raise RunError(f"Flower did not say which SuperNode client {k} became: {said[-300:]}")
            nodes[k] = int(found[1])
            write_atomic(state / REGISTERED, json.dumps(nodes))


def _flwr(arguments: Sequence[str], environment: Mapping[str, str], what: str) -> str:
    """Runs one of Flower's commands in this process; returns what it printed.

    Raises:
        RunError: It failed; the sentence has its reason.
    """
    import io
    import os
    from contextlib import redirect_stderr, redirect_stdout

    os.environ |= {name: environment[name] for name in FLOWERS}
    import typer
    from flwr.cli.app import app

    printed = io.StringIO()
    failure = ""
    with redirect_stdout(printed), redirect_stderr(printed):
        try:
            typer.main.get_command(app).main(list(arguments), standalone_mode=False)
        except SystemExit as error:
            failure = f"exit code {error.code}" if error.code else ""
        except Exception as error:
            failure = f"{type(error).__name__}: {error}"
    if failure:
        reason = " ".join(f"{printed.getvalue()} {failure}".split())[-300:]
        raise RunError(f"Flower did not {what}: {reason}")
    return printed.getvalue()


def _follow(state: Path, superlink: subprocess.Popen[bytes], say: Callable[[str], None]) -> Path:
    """Shows what the run says until it has ended; returns its folder."""
    with (state / "progress.txt").open() as progress:
        while True:
            ended = (state / RESULT).exists()
            for line in progress:
                say(line.rstrip("\n"))
            if ended:
                result = json.loads((state / RESULT).read_text())
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

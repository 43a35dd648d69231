"""``qfedfm run --ray``: every client a task of Flower's simulation engine, on a Ray cluster.

For those who have a cluster: on one machine engine local gives the same bits far faster. A client's state
lies in the run's folder, which all machines of the cluster must see, because Ray hands each message to
whichever process is free. Ray moves messages between its processes with pickle, so this is a simulation of a
federation: all of it is one party's.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING

from qfedfm.core.errors import RequestError, RunError
from qfedfm.experiment.config import Experiment
from qfedfm.experiment.machines.cluster import (
    ENVIRONMENT,
    Cluster,
    Stop,
    StoppableGrid,
    quiet_logs,
    sentence_of,
)
from qfedfm.experiment.progress import Progress, SilentProgress
from qfedfm.experiment.running import DEFAULT_FOLDER, resolve, run_experiment
from qfedfm.security.summation import Plain

if TYPE_CHECKING:
    from flwr.app import Context, Message
    from flwr.clientapp import ClientApp
    from flwr.serverapp import Grid

CLIENTS = "clients"
"""The folder of a run in which the simulated clients keep their state."""


def simulate(
    experiment: Experiment,
    cluster: Cluster,
    *,
    out: Path | None = None,
    root: Path = DEFAULT_FOLDER,
    resume: bool = False,
    force: bool = False,
    verify: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Runs an experiment with engine flower on Flower's simulation engine; returns the run's folder.

    Args:
        experiment: What to run.
        cluster: Where.
        out: The run's folder; by default ``<root>/<name>-<first 8 of the run id>``.
        root: Where run folders go.
        resume: Continue an interrupted run.
        force: Start over, whatever the folder holds of this experiment.
        verify: Whether to check each round's certificate of exactness by dense matrices.
        progress: Where to show what happens; nothing by default.

    Raises:
        RequestError: It cannot be simulated, or Ray is missing.
        RunError: Ray or the run failed.
        InterruptedRunError: After Ctrl-C, when the round in flight is done and kept.
    """
    _check(experiment)
    folder, clients, done = _planned(experiment, out, root)
    if done and not force:
        return folder
    os.environ |= {name: os.environ.get(name, value) for name, value in ENVIRONMENT.items()}
    from flwr.serverapp import ServerApp
    from flwr.simulation import run_simulation

    from qfedfm.federation.engines.flower.grid import FlowerTransport

    server, ended, stop = ServerApp(), _Ended(), Stop()

    @server.main()
    def main(grid: Grid, context: Context) -> None:
        try:
            ended.folder = run_experiment(
                experiment,
                out=folder,
                resume=resume,
                force=force,
                verify=verify,
                progress=progress or SilentProgress(),
                transport=FlowerTransport(StoppableGrid(grid, stop, clients)),
                after_round=stop.after_round,
            )
        except BaseException as error:  # raised again in the caller's thread
            ended.error = ended.error or error

    with quiet_logs(), stop.on_interrupt():
        cluster.connect()
        try:
            run_simulation(
                server_app=server,
                client_app=_client_app(folder.resolve()),
                num_supernodes=clients,
                backend_config={"client_resources": cluster.resources},
            )
        except Exception as error:
            ended.error = ended.error or RunError(f"Ray did not run the clients: {sentence_of(error)}")
            stop.now.set()  # the round in flight waits for nobody
    if ended.error is not None:
        raise ended.error
    if ended.folder is None:
        raise RunError("Ray ended before the run; start it again with --resume")
    return ended.folder


def _check(experiment: Experiment) -> None:
    """Refuses what cannot be simulated there."""
    for module in ("flwr", "ray"):
        if importlib.util.find_spec(module) is None:
            raise RequestError(
                f"--ray needs {module}, which is not installed; install qfedfm[flower], or leave --ray out: "
                "engine local needs neither and is faster on one machine"
            )
    if experiment.federation.engine != "flower":
        raise RequestError(
            f"--ray delivers engine flower, and federation.engine is {experiment.federation.engine}"
        )
    if not isinstance(experiment.security.sum, Plain):
        raise RequestError(
            f"security.sum {experiment.security.sum.kind} keeps a client's secrets in its process, and on "
            "Ray a client has another process for each message; use engine local, or `qfedfm serve`"
        )
    if getattr(experiment.data.partition, "kind", "") == "machines":
        raise RequestError(
            "data.partition is machines, and on Ray all clients read the experiment's data; use another "
            "partition"
        )


def _planned(experiment: Experiment, out: Path | None, root: Path) -> tuple[Path, int, bool]:
    """Returns the run's folder, how many clients there are, and whether this run is there complete."""
    import json

    from qfedfm import data as data_room
    from qfedfm.core.random import Streams
    from qfedfm.experiment.folder import RunFolder
    from qfedfm.experiment.identity import backbone_hash, run_identity

    experiment, _ = resolve(experiment)
    data = data_room.load(experiment.data, Streams(experiment.seed).at("data"))
    run_id = run_identity(experiment, data, backbone_hash(experiment, data))
    folder = RunFolder(out if out is not None else root / f"{experiment.name}-{run_id[:8]}")
    done = folder.summary.exists() and json.loads((folder.path / "run.json").read_text())["run_id"] == run_id
    return folder.path, len(data.clients), done


def _client_app(folder: Path) -> ClientApp:
    """Returns the app that Ray's processes run; it travels to them with what it closes over."""
    from flwr.clientapp import ClientApp

    app = ClientApp()

    @app.query()
    def answer(message: Message, context: Context) -> Message:
        from qfedfm.experiment.machines.simulating import answer_for

        return answer_for(folder, message, context)

    return app


def answer_for(folder: Path, message: Message, context: Context) -> Message:
    """Answers a message as the client whose partition the context names.

    Args:
        folder: The run's.
        message: What the server sent.
        context: Of the simulated SuperNode.
    """
    from flwr.app import Message as Reply

    from qfedfm.experiment.machines.member import answer_once
    from qfedfm.experiment.machines.server import KEYS
    from qfedfm.experiment.machines.workplace import Joining
    from qfedfm.federation.engines.flower.grid import packed, unpacked

    partition, keys = int(str(context.node_config["partition-id"])), folder / KEYS
    state = folder / CLIENTS / str(partition)
    joining = Joining(state, partition=partition, keys=keys if keys.exists() else None)
    return Reply(packed(answer_once(joining, unpacked(message))), reply_to=message)


class _Ended:
    """How the run ended."""

    folder: Path | None = None
    error: BaseException | None = None

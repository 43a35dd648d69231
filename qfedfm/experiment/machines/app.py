"""The Flower app: what ``flwr run`` starts on the server and on every client's machine.

``qfedfm serve`` and ``qfedfm join`` name their folders in the environment. Without them (``flwr run .``) the
run's configuration names the experiment file, changes to it and the run's folder (``experiment``,
``overrides``, ``out``), and a SuperNode's configuration the client's data (``--node-config 'data="my.csv"'``
or ``'partition-id=0'``) and state folder (``state``).
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from qfedfm.experiment.machines.programs import JOIN, RESULT, SERVE
from qfedfm.federation.engines.flower.grid import FlowerTransport, packed, unpacked

if TYPE_CHECKING:
    from qfedfm.experiment.machines.workplace import Joining

client = ClientApp()


def main(grid: Grid, context: Context, shipped: Path | None = None) -> None:
    """Runs the experiment with the SuperNodes as its clients.

    Args:
        grid: Who delivers messages.
        context: The run's configuration.
        shipped: The folder of the app, in which experiment files are looked for as well.
    """
    served = os.environ.get(SERVE)
    if served is None:
        _configured(grid, context, shipped)
    else:
        _served(grid, Path(served))


def server_app(shipped: Path | None = None) -> ServerApp:
    """Returns the app; ``shipped`` is the folder that came with it."""
    app = ServerApp()

    @app.main()
    def run(grid: Grid, context: Context) -> None:
        main(grid, context, shipped)

    return app


server = server_app()


def _configured(grid: Grid, context: Context, shipped: Path | None) -> None:
    """Runs the experiment that the run's configuration names; what happens is in Flower's log."""
    from qfedfm.core.errors import QfedfmError
    from qfedfm.experiment.loading import load
    from qfedfm.experiment.progress import LineProgress
    from qfedfm.experiment.results import Run
    from qfedfm.experiment.running import run_experiment

    config = {"overrides": "", "out": "", **context.run_config}
    file = Path(str(config["experiment"]))
    if not file.exists() and shipped is not None and (shipped / file).exists():
        file = shipped / file
    try:
        folder = run_experiment(
            load(file, [*shlex.split(str(config["overrides"])), "federation.engine=flower"]),
            out=str(config["out"]) or None,
            resume=True,
            transport=FlowerTransport(grid),
            progress=LineProgress(sys.stdout),
        )
    except QfedfmError as error:
        print(f"error: {error}", flush=True)
        raise
    print(Run(folder).describe(), flush=True)


def _served(grid: Grid, folder: Path) -> None:
    """Runs what ``qfedfm serve`` asks for, and tells it what happens."""
    from qfedfm.core.errors import QfedfmError
    from qfedfm.core.files import write_atomic
    from qfedfm.experiment.loading import experiment
    from qfedfm.experiment.machines.tickets import owners_in
    from qfedfm.experiment.progress import LineProgress
    from qfedfm.experiment.running import run_experiment

    request = json.loads((folder / "request.json").read_text())
    result: dict[str, Any] = {}
    with (folder / "progress.txt").open("a") as stream:
        try:
            result["folder"] = str(
                run_experiment(
                    experiment(request["experiment"]),
                    out=request["out"],
                    root=request["root"],
                    resume=True,
                    transport=FlowerTransport(grid, owners_in(folder)),
                    progress=LineProgress(stream),
                )
            )
        except QfedfmError as error:
            result |= {"error": str(error), "exit_code": error.exit_code}
        except Exception as error:
            result |= {"error": f"failed: {type(error).__name__}: {error}", "exit_code": 1}
            raise
        finally:
            write_atomic(folder / RESULT, json.dumps(result))


@client.query()
def answer(message: Message, context: Context) -> Message:
    """Answers one message of the server."""
    request = unpacked(message)
    joined = os.environ.get(JOIN)
    if joined is not None:
        from qfedfm.experiment.machines.worker import ask

        reply = ask(Path(joined), request)
    else:
        from qfedfm.experiment.machines.member import answer_once

        reply = answer_once(_joining(context), request, print)
    return Message(packed(reply), reply_to=message)


def _joining(context: Context) -> Joining:
    """Returns how this SuperNode joins, from its configuration."""
    from qfedfm.core.files import cache_folder
    from qfedfm.experiment.machines.workplace import Joining

    config = context.node_config
    data, partition, keys = (config.get(name) for name in ("data", "partition-id", "keys"))
    state = config.get("state")
    return Joining(
        state=Path(str(state)) if state else cache_folder("flower", str(context.node_id)),
        data=Path(str(data)) if data is not None else None,
        partition=int(str(partition)) if partition is not None and data is None else None,
        keys=Path(str(keys)) if keys is not None else None,
    )

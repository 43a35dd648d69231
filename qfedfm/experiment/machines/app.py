"""The Flower app: what ``flwr run`` starts on the server and on every client's machine.

``qfedfm serve`` and ``qfedfm join`` name their folders in the environment. Without them (``flwr run .``) the
run's configuration names the experiment file, and a SuperNode's configuration the client's data
(``--node-config 'data="my.csv"'`` or ``'partition-id=0'``) and state folder (``state``).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from qfedfm.experiment.machines.programs import JOIN, SERVE
from qfedfm.federation.engines.flower.grid import FlowerTransport, packed, unpacked

if TYPE_CHECKING:
    from qfedfm.experiment.machines.workplace import Joining

server = ServerApp()
client = ClientApp()


@server.main()
def main(grid: Grid, context: Context) -> None:
    """Runs the experiment with the SuperNodes as its clients."""
    from qfedfm.core.errors import QfedfmError
    from qfedfm.core.files import write_atomic
    from qfedfm.experiment.loading import experiment, load
    from qfedfm.experiment.progress import LineProgress
    from qfedfm.experiment.running import run_experiment

    transport = FlowerTransport(grid)
    served = os.environ.get(SERVE)
    if served is None:
        file = str(context.run_config["experiment"])
        run_experiment(load(file, {"federation.engine": "flower"}), resume=True, transport=transport)
        return
    folder = Path(served)
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
                    transport=transport,
                    progress=LineProgress(stream),
                )
            )
        except QfedfmError as error:
            result |= {"error": str(error), "exit_code": error.exit_code}
        except Exception as error:
            result |= {"error": f"failed: {type(error).__name__}: {error}", "exit_code": 1}
            raise
        finally:
            write_atomic(folder / "result.json", json.dumps(result))


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

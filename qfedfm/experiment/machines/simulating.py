"""``qfedfm serve --ray``: the same app on Flower's simulation engine, for those who have a Ray cluster.

Every client is a virtual SuperNode; Ray schedules them over the cluster's machines, which must share the
state folder. On one machine engine local is far faster.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from qfedfm.core.errors import RequestError, RunError
from qfedfm.core.files import write_atomic
from qfedfm.data import MachinesPartition
from qfedfm.experiment.machines.programs import CLIENTS, SERVE
from qfedfm.experiment.machines.serving import Serving


def simulate(serving: Serving, say: Callable[[str], None], cpus: int = 1) -> Path:
    """Runs the experiment on Ray; returns the run's folder.

    Args:
        serving: The experiment and its folders; addresses and certificates are not used.
        say: Told what happens, one sentence each.
        cpus: Processor cores that Ray reserves for a client.

    Raises:
        RequestError: The experiment cannot be simulated.
        RunError: The run failed.
    """
    experiment = serving.experiment
    if isinstance(experiment.data.partition, MachinesPartition):
        raise RequestError(
            "data.partition is machines, and simulated clients have none; use another partition"
        )
    if experiment.security.sum.reveals == "sum":
        raise RequestError(
            f"security.sum {experiment.security.sum.kind} needs clients that stay, and Ray moves them; use "
            "engine local, or processes"
        )
    from flwr.simulation import run_simulation

    from qfedfm.experiment.machines import app

    state = serving.state.resolve()
    state.mkdir(parents=True, exist_ok=True)
    request = serving.request()
    write_atomic(state / "request.json", json.dumps(request))
    (state / "result.json").unlink(missing_ok=True)
    os.environ |= {SERVE: str(state), CLIENTS: str(state / "clients"), "FLWR_TELEMETRY_ENABLED": "0"}
    say(f"{serving.clients} clients on Ray, {cpus} core{'s' if cpus > 1 else ''} each")
    run_simulation(
        server_app=app.server,
        client_app=app.client,
        num_supernodes=serving.clients,
        backend_config={"client_resources": {"num_cpus": cpus, "num_gpus": 0.0}},
    )
    try:
        result = json.loads((state / "result.json").read_text())
    except OSError as error:
        raise RunError("Flower's simulation ended before the run began") from error
    if "error" in result:
        raise (RequestError if result["exit_code"] == 2 else RunError)(result["error"])
    return Path(result["folder"])

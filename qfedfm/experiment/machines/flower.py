"""Flower's SuperLink and SuperNode with what large updates need.

``python -m qfedfm.experiment.machines.flower superlink ARGUMENTS`` (or ``supernode``): the programs of the
same names, with these differences. A SuperLink keeps messages in SQLite, deletes one of 200 MB in a single
transaction, and answers 500 to whoever waits longer than five seconds for it: here deletion does not
overwrite every page (``secure_delete``, which some builds of SQLite set), and others wait longer, but less
than HTTP clients do. A SuperNode writes down how many bytes of messages it has received and sent.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from qfedfm.experiment.machines.programs import JOIN
from qfedfm.experiment.machines.traffic import Totals
from qfedfm.federation.engines.flower.transfers import counting

PRAGMAS = (("busy_timeout", "25000"), ("secure_delete", "FAST"))


def superlink() -> None:
    """Runs a SuperLink."""
    from flwr.supercore import sql_mixin
    from flwr.superlink.cli import flower_superlink

    changed = dict(PRAGMAS)
    kept = tuple(entry for entry in sql_mixin.SQLITE_PRAGMAS if entry[0] not in changed)
    sql_mixin.SQLITE_PRAGMAS = (*kept, *PRAGMAS)
    flower_superlink()


def supernode() -> None:
    """Runs a SuperNode."""
    from flwr.supernode.cli import flower_supernode
    from flwr.supernode.fleet_http_client import FleetHttpClient

    totals = Totals(Path(os.environ[JOIN]))
    with counting(FleetHttpClient, totals.sent, totals.received):
        flower_supernode()


if __name__ == "__main__":
    program = {"superlink": superlink, "supernode": supernode}[sys.argv[1]]
    sys.argv = [f"flower-{sys.argv[1]}", *sys.argv[2:]]
    program()

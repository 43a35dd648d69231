"""One small federation three ways: engine local, Flower's simulation on Ray, SuperLink with SuperNodes.

Peer: each of the other two, in the same run on the same machine. One thread each.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from qfedfm.benchmarks.machines import experiment, measure
from qfedfm.core.errors import RunError

WARM = 1
"""Rounds at the start that are left out: everything starts in them."""


def compare(clients: int, rounds: int, dimension: int, *, machines: bool = True) -> dict[str, Any]:
    """Returns seconds a round, seconds from command to report, and how many times engine local's they are.

    Args:
        clients: How many clients.
        rounds: How many rounds, at least 2.
        dimension: Of the features.
        machines: Whether SuperLink and SuperNodes are measured as well.

    Raises:
        RunError: One of the runs failed.
    """
    import yaml

    with tempfile.TemporaryDirectory(prefix="qfedfm-simulated-") as name:
        folder = Path(name)
        (folder / "experiment.yaml").write_text(yaml.safe_dump(experiment(clients, rounds, dimension)))
        found = {"local": _run(folder, "local"), "ray": _run(folder, "ray", "--ray", "here")}
        same = {(folder / way / "head.safetensors").read_bytes() for way in found}
    if machines:
        found["superlink"] = {"round_seconds": measure(clients, rounds, dimension)["round_seconds"]}
    local = found["local"]["round_seconds"]
    return {
        "what": f"{clients} clients, {rounds} rounds, linear head of {10 * (dimension + 1)} numbers",
        **{f"{way}_{part}": seconds for way, parts in found.items() for part, seconds in parts.items()},
        **{f"{way}_rounds_of_local": found[way]["round_seconds"] / local for way in found if way != "local"},
        "ray_total_of_local": found["ray"]["total_seconds"] / found["local"]["total_seconds"],
        "same_bits": len(same) == 1,
    }


def _run(folder: Path, name: str, *options: str) -> dict[str, float]:
    """Runs the experiment in a process of its own; returns the median round and the whole, in seconds."""
    import json
    import os

    began = time.perf_counter()
    command = [sys.executable, "-m", "qfedfm.cli.main", "run", "experiment.yaml", "--out", name, "--quiet"]
    done = subprocess.run(
        [*command, *options],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RunError(f"{name} failed: {done.stderr.strip()[-500:]}")
    total = time.perf_counter() - began
    lines = [json.loads(line) for line in (folder / name / "timings.jsonl").read_text().splitlines()]
    return {
        "round_seconds": statistics.median(line["train_seconds"] for line in lines[WARM:]),
        "total_seconds": total,
    }

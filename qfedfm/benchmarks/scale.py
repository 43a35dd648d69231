"""How time and memory grow with clients, cohort, parameters and qubits (head-only clients)."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from qfedfm.core.errors import RunError

BASE: dict[str, Any] = {"clients": 100, "cohort": 100, "dimension": 384, "qubits": 4, "rounds": 6}
GRID: tuple[dict[str, Any], ...] = (
    {},
    {"clients": 1_000},
    {"clients": 10_000},
    {"clients": 1_000, "cohort": 10},
    {"clients": 1_000, "cohort": 1_000},
    {"dimension": 96},
    {"dimension": 1_536},
    {"qubits": 8},
    {"qubits": 10},
)

FILE = """
name: scale
data:
  source: features
  features: {{samples: 20, dimension: {dimension}, classes: 4}}
  partition: {{kind: iid, clients: {clients}}}
model: {{adapter: {{kind: none}}, head: {{kind: quantum, qubits: {qubits}, layers: 2}}}}
federation: {{rounds: {rounds}, cohort: {cohort}}}
client: {{batch_size: 20, optimizer: {{kind: adam}}}}
device: cpu
"""


def measure(grid: tuple[dict[str, Any], ...] = GRID) -> list[dict[str, Any]]:
    """Returns one row per point: settings, median seconds a round, peak memory in MB of the process."""
    rows = []
    for point in grid:
        settings = BASE | point
        with tempfile.TemporaryDirectory() as name:
            file, out = Path(name, "scale.yaml"), Path(name, "run")
            file.write_text(FILE.format(**settings))
            memory = _peak(
                [sys.executable, "-m", "qfedfm.cli.main", "run", str(file), "--out", str(out), "--quiet"]
            )
            lines = [json.loads(line) for line in (out / "timings.jsonl").read_text().splitlines()]
            summary = json.loads((out / "summary.json").read_text())
        rows.append(
            settings
            | {
                "parameters": summary["trainable_parameters"],
                "round_seconds": statistics.median(line["seconds"] for line in lines[1:]),
                "peak_megabytes": memory,
            }
        )
    return rows


def _peak(command: list[str]) -> float:
    """Runs a command and returns the largest resident memory of the process, in MB."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RunError(f"{' '.join(command[1:4])} failed: {said.strip().splitlines()[-1:]}")
    return usage.ru_maxrss / 1024

"""Head-only clients: our engine against Flower's simulation running the same model with PennyLane.

Both train 50 clients of 100 cached samples x 384 features, a 4-qubit, 2-layer hybrid head, batch 32, one
epoch a round. Ours runs as a user would run it, ``qfedfm run`` in a process of its own; so does the peer.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from qfedfm.core.errors import RunError
from qfedfm.core.random import Streams

CLIENTS, SAMPLES, FEATURES, CLASSES = 50, 100, 384, 2

OURS = """
name: flower_peer
data:
  source: features
  features: {{samples: {samples}, dimension: {features}, classes: {classes}, test_samples: 500}}
  partition: {{kind: iid, clients: {clients}}}
model: {{adapter: {{kind: none}}, head: {{kind: quantum, qubits: 4, layers: 2, executor: {executor}}}}}
federation: {{rounds: {rounds}, evaluate_every: {rounds}}}
client: {{batch_size: 32, optimizer: {{kind: adam, lr: 1.0e-3}}}}
device: cpu
"""


def measure(rounds: int = 10, executor: str = "torch") -> dict[str, Any]:
    """Returns seconds per round and for all rounds with start-up, ours and the peer's, and the ratios."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        peer = _peer(folder, rounds)
        ours = _ours(folder, rounds, executor)
    return {
        "what": f"{CLIENTS} head-only clients, {SAMPLES} samples each, 4 qubits, 2 layers, batch 32",
        "rounds": rounds,
        "peer": "Flower simulation (Ray), PennyLane default.qubit TorchLayer",
        "executor": executor,
        "peer_round_seconds": peer["round"],
        "round_seconds": ours["round"],
        "per_round": peer["round"] / ours["round"],
        "peer_total_seconds": peer["total"],
        "total_seconds": ours["total"],
        "with_start_up": peer["total"] / ours["total"],
    }


def _peer(folder: Path, rounds: int) -> dict[str, float]:
    import numpy as np

    rng = Streams(0)("benchmark", "flower")
    centres = rng.normal(size=(CLASSES, FEATURES)) * 0.15
    for part, shape in (("", (CLIENTS, SAMPLES)), ("test_", (500,))):
        y = rng.integers(0, CLASSES, shape)
        np.save(folder / f"{part}y.npy", y)
        np.save(
            folder / f"{part}x.npy", (centres[y] + rng.normal(size=(*shape, FEATURES))).astype(np.float32)
        )
    command = [sys.executable, "-m", "qfedfm.benchmarks.peers.flower_pennylane", str(folder), str(rounds)]
    seconds, output = timed(command)
    found = json.loads(output.strip().splitlines()[-1])
    return {"round": statistics.median(found["round_seconds"][1:]), "total": seconds}


def _ours(folder: Path, rounds: int, executor: str) -> dict[str, float]:
    file = folder / "ours.yaml"
    file.write_text(
        OURS.format(
            samples=SAMPLES,
            features=FEATURES,
            classes=CLASSES,
            clients=CLIENTS,
            rounds=rounds,
            executor=executor,
        )
    )
    totals, rounds_seconds = [], []
    for trial in range(3):
        out = folder / f"run{trial}"
        seconds, _ = timed(
            [sys.executable, "-m", "qfedfm.cli.main", "run", str(file), "--out", str(out), "--quiet"]
        )
        totals.append(seconds)
        lines = [json.loads(line) for line in (out / "timings.jsonl").read_text().splitlines()]
        rounds_seconds += [line["seconds"] for line in lines[1:-1]]
    return {"round": statistics.median(rounds_seconds), "total": statistics.median(totals)}


def timed(command: list[str]) -> tuple[float, str]:
    """Runs a command; returns its wall-clock seconds and standard output."""
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RunError(f"{' '.join(command[1:4])} failed: {done.stderr.strip().splitlines()[-1:]}")
    return time.perf_counter() - began, done.stdout

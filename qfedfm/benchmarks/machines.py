"""Where a round over machines spends its time: server, clients and Flower as processes on this machine.

Peer: the same experiment with engine local, in the same run.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qfedfm.benchmarks.memory import most_memory
from qfedfm.core.errors import RunError

PORT = 18555
CLASSES = 10


def experiment(clients: int, rounds: int, dimension: int, classes: int = CLASSES) -> dict[str, Any]:
    """Returns an experiment whose updates have ``classes (dimension + 1)`` numbers."""
    return {
        "name": "machines-benchmark",
        "data": {
            "source": "features",
            "features": {
                "samples": max(20, classes),
                "dimension": dimension,
                "classes": classes,
                "test_samples": 20,
            },
            "partition": {"kind": "iid", "clients": clients},
        },
        "model": {"adapter": {"kind": "none"}, "head": {"kind": "linear"}},
        "federation": {"rounds": rounds, "batch_clients": 1, "flower": {"deadline": 600}},
        "client": {"optimizer": {"kind": "sgd", "lr": 0.05}},
        "device": "cpu",
    }


def measure(
    clients: int, rounds: int, dimension: int, classes: int = CLASSES, *, secure: bool = True
) -> dict[str, float]:
    """Runs both engines and returns medians over the rounds, in seconds, and the most memory, in bytes.

    The first round, in which everything starts, is left out of the medians.

    Args:
        clients: How many clients, each two processes and one more for each message.
        rounds: How many rounds, at least 2.
        dimension: Of the features.
        classes: At most so many; an update has ``classes (dimension + 1)`` numbers.
        secure: Whether TLS and node keys are on.

    Raises:
        RunError: The server failed.
    """
    import yaml

    with tempfile.TemporaryDirectory(prefix="qfedfm-machines-") as name:
        folder = Path(name)
        content = experiment(clients, rounds, dimension, classes)
        (folder / "experiment.yaml").write_text(yaml.safe_dump(content))
        with contextlib.ExitStack() as stack:
            flags = [] if secure else ["--insecure"]
            place = ["--port", str(PORT), "--bind", "127.0.0.1", "--state", "state", "--out", "run", *flags]
            server = stack.enter_context(_process(folder, "server", "serve", "experiment.yaml", *place))
            while "a client joins with" not in (folder / "server.txt").read_text():
                if server.poll() is not None:
                    raise RunError((folder / "server.txt").read_text().strip())
                time.sleep(0.2)
            for k in range(clients):
                ticket = f"state/tickets/client-{k}.json"
                stack.enter_context(
                    _process(folder, f"client-{k}", "join", "--ticket", ticket, "--partition", str(k))
                )
            with most_memory(folder) as memory:
                if server.wait() != 0:
                    raise RunError((folder / "server.txt").read_text().strip())
            found = _breakdown(folder, clients) | {f"{role}_bytes": most for role, most in memory.items()}
        local = {**content, "federation": {**content["federation"], "engine": "local"}}
        (folder / "local.yaml").write_text(yaml.safe_dump(local))
        with _process(folder, "local", "run", "local.yaml", "--out", "local", "--quiet") as run:
            run.wait()
        found["local_seconds"] = statistics.median(
            line["train_seconds"] for line in _lines(folder / "local" / "timings.jsonl")[1:]
        )
        return found


def _breakdown(folder: Path, clients: int) -> dict[str, float]:
    """Returns medians of a round's parts; of several clients the slowest counts: the round waits for it."""
    rounds = _lines(folder / "run" / "timings.jsonl")[1:]
    sent = [
        [
            line
            for line in _lines(folder / "joined" / f"client-{k}" / "messages.jsonl")
            if line["training_seconds"]
        ]
        for k in range(clients)
    ]
    messages = [max(same, key=lambda line: line["process_seconds"]) for same in zip(*sent, strict=True)][1:]
    median = statistics.median
    found = {
        "round_seconds": median(line["train_seconds"] for line in rounds),
        "training_seconds": median(line["training_seconds"] for line in messages),
        "process_seconds": median(line["process_seconds"] for line in messages),
        "ours_seconds": median(line["writing_seconds"] + line["reading_seconds"] for line in rounds)
        + median(line["answer_seconds"] - line["training_seconds"] for line in messages),
        "update_bytes": median(line["sent_bytes"] for line in messages),
    }
    parts = ("training_seconds", "process_seconds", "ours_seconds")
    found["transfer_seconds"] = found["round_seconds"] - sum(found[part] for part in parts)
    found["ours_of_overhead"] = found["ours_seconds"] / (found["round_seconds"] - found["training_seconds"])
    return found


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@contextlib.contextmanager
def _process(folder: Path, name: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / f"{name}.txt").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "qfedfm.cli.main", *arguments],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()

"""This project as a Flower app: ``flwr run .`` at its root, on a Flower user's SuperLink and SuperNodes."""

from __future__ import annotations

import contextlib
import copy
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from served_machines import FILE, free_port

import qfedfm

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
PATIENCE = 600.0


def descendants(pid: int) -> list[int]:
    """Returns all processes that come from ``pid``, whatever session they are in."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found, frontier = [], [pid]
    while frontier:
        frontier = [child for child, parent in parents.items() if parent in frontier]
        found += frontier
    return found


class Flower:
    """Flower's own programs, as its users start them; leaving the context ends them all."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        (folder / "home").mkdir()
        (folder / "home" / "config.toml").write_text(
            f'[superlink]\ndefault = "here"\n\n[superlink.here]\naddress = "127.0.0.1:{self.port}"\n'
            "insecure = true\n"
        )
        self.environment = {
            **os.environ,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
            "FLWR_HOME": str(folder / "home"),
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
            "OMP_NUM_THREADS": "1",
        }
        self.running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Flower:
        return self

    def __exit__(self, *error: object) -> None:
        everybody = [pid for process in self.running for pid in (process.pid, *descendants(process.pid))]
        for how in (signal.SIGTERM, signal.SIGKILL):
            for pid in everybody:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, how)
            time.sleep(1)
        for process in self.running:
            process.wait()

    def start(self, name: str, *arguments: str) -> None:
        program = str(Path(sys.executable).with_name(f"flower-{name.split('-')[0]}"))
        with (self.folder / f"{name}.txt").open("wb") as log:
            self.running.append(
                subprocess.Popen(
                    [program, "--insecure", *arguments],
                    cwd=self.folder,
                    env=self.environment,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )

    def run(self, config: str) -> str:
        """Runs the app at the project's root until it has ended; returns what was printed."""
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("flwr")),
                "run",
                ".",
                "here",
                "--stream",
                "--run-config",
                config,
            ],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return done.stdout + done.stderr


def test_flwr_run_at_the_root_gives_the_model_of_one_process(tmp_path):
    content = copy.deepcopy(FILE)
    content["federation"]["rounds"] = 2
    (tmp_path / "file.yaml").write_text(yaml.safe_dump({**content, "name": "by-a-flower-user"}))
    with Flower(tmp_path) as flower:
        address = f"127.0.0.1:{flower.port}"
        flower.start("superlink", "--host", "127.0.0.1", "--port", str(flower.port))
        for k in range(2):
            config = f'partition-id={k} state="{tmp_path / f"client-{k}"}"'
            flower.start(
                f"supernode-{k}", "--superlink", address, "--port", str(free_port()), "--node-config", config
            )
        time.sleep(5)
        said = flower.run('experiment="file.yaml" overrides="name=renamed client.batch_size=16" out="run"')
        refused = flower.run('experiment="none.yaml"')
    assert "client 0 is there" in said and "round 2/2" in said and "renamed: test accuracy" in said, said
    assert "error: none.yaml" in refused.replace("\n", "")
    here = qfedfm.run({**content, "client": {**content["client"], "batch_size": 16}}, out=tmp_path / "local")
    there = tmp_path / "run"
    assert (there / "head.safetensors").read_bytes() == (here.folder / "head.safetensors").read_bytes()

"""``kill -9`` at random moments, then ``--resume``: the same bits as an uninterrupted run."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

FILE = """
name: killed
seed: 5
data:
  source: features
  validation_fraction: 0.2
  features: {samples: 40, dimension: 16, classes: 3, test_samples: 100}
  partition: {kind: dirichlet, clients: 6, alpha: 0.5, min_samples: 8}
model: {adapter: {kind: none}, head: {kind: quantum, qubits: 3, layers: 1}}
federation:
  rounds: 25
  cohort: 4
  server_optimizer: {kind: fedadam, lr: 0.05}
  faults: {dropout: 0.1, straggler: 0.2}
client: {batch_size: 8, optimizer: {kind: sgd, lr: 0.1}, algorithm: {kind: scaffold}}
device: cpu
"""
BITS = ("rounds.jsonl", "head.safetensors", "config.yaml", "scores.json", "clients.json", "model.json")


def command(file: Path, out: Path, *flags: str) -> list[str]:
    return [sys.executable, "-m", "qfedfm.cli.main", "run", str(file), "--out", str(out), "--quiet", *flags]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def finish(file: Path, out: Path) -> str:
    done = subprocess.run(
        command(file, out, "--resume"), env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def same(reference: Path, out: Path) -> None:
    for name in BITS:
        assert (out / name).read_bytes() == (reference / name).read_bytes(), name
    fixed = {"seconds"}
    a, b = (json.loads((folder / "summary.json").read_text()) for folder in (reference, out))
    assert {k: v for k, v in a.items() if k not in fixed} == {k: v for k, v in b.items() if k not in fixed}


def lines(out: Path) -> int:
    path = out / "rounds.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def kill_at(file: Path, out: Path, after_lines: int, extra: float, *flags: str) -> int:
    """Starts a run, kills it ``extra`` seconds after ``after_lines`` lines; returns its exit status."""
    process = subprocess.Popen(
        command(file, out, *flags), env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while lines(out) < after_lines and process.poll() is None:
        time.sleep(0.002)
    time.sleep(extra)
    process.send_signal(signal.SIGKILL)
    return process.wait()


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference")
    file = folder / "killed.yaml"
    file.write_text(FILE)
    finish(file, folder / "run")
    return file, folder / "run"


def trial(reference, out: Path, rng: random.Random) -> bool:
    file, whole = reference
    killed = kill_at(file, out, rng.randrange(0, 27), rng.random() * 0.05) == -signal.SIGKILL
    if killed and rng.random() < 0.4:
        kill_at(file, out, lines(out) + rng.randrange(0, 4), rng.random() * 0.05, "--resume")
    finish(file, out)
    same(whole, out)
    return killed


def test_two_killed_runs_end_in_the_same_bits(reference, tmp_path):
    rng = random.Random(1)
    assert any([trial(reference, tmp_path / str(number), rng) for number in range(2)])


@pytest.mark.slow
def test_twenty_killed_runs_end_in_the_same_bits(reference, tmp_path):
    rng = random.Random(2)
    killed = [trial(reference, tmp_path / str(number), rng) for number in range(20)]
    assert sum(killed) >= 10


def test_a_damaged_checkpoint_after_a_kill_costs_a_round_and_warns(reference, tmp_path):
    file, whole = reference
    out = tmp_path / "run"
    assert kill_at(file, out, 12, 0.0) == -signal.SIGKILL
    newest = max((out / "checkpoint").glob("round-*"))
    newest.write_bytes(newest.read_bytes()[:-20])
    assert "falling back to the checkpoint before it" in finish(file, out)
    same(whole, out)


def test_an_interrupted_run_is_not_overwritten_without_a_word(reference, tmp_path):
    file, _ = reference
    out = tmp_path / "run"
    assert kill_at(file, out, 3, 0.0) == -signal.SIGKILL
    before = sorted(path.name for path in out.iterdir())
    done = subprocess.run(command(file, out), env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "add --resume to continue it or --force to start over" in done.stderr
    assert sorted(path.name for path in out.iterdir()) == before


def test_ctrl_c_ends_after_the_round_with_130_and_resumes_to_the_same_bits(reference, tmp_path):
    file, whole = reference
    out = tmp_path / "run"
    process = subprocess.Popen(command(file, out), env=environment(), stderr=subprocess.PIPE, text=True)
    while lines(out) < 4:
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130, said
    assert "continue with --resume" in said and "Traceback" not in said
    assert not (out / "summary.json").exists()
    finish(file, out)
    same(whole, out)

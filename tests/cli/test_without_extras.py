"""A linear-head federation runs where PennyLane, Qiskit and every extra cannot be imported."""

from __future__ import annotations

import json
import subprocess
import sys

FILE = """
name: plain
data:
  source: features
  features: {samples: 30, dimension: 8, classes: 3, test_samples: 60}
  partition: {kind: iid, clients: 4}
model: {adapter: {kind: none}, head: {kind: linear}}
federation: {rounds: 2}
client: {epochs: 5, optimizer: {kind: adamw, lr: 0.05}}
device: cpu
"""
BLOCKED = (
    "pennylane pennylane_lightning qiskit qiskit_aer qiskit_ibm_runtime flwr ray tenseal tensorboard "
    "datasets fastapi uvicorn nbclient ipykernel jax dimod dwave"
).split()
RUN = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked}:
            raise ImportError(f"{{name}} is blocked by this test")

sys.meta_path.insert(0, Blocker())
from qfedfm.cli.main import invoke

code = invoke(["run", {file!r}, "--out", {out!r}, "--json", "--quiet"])
print("LOADED", [m for m in {watched} if m in sys.modules], file=sys.stderr)
sys.exit(code)
"""


def run(tmp_path, blocked, watched, file=FILE):
    path = tmp_path / "plain.yaml"
    path.write_text(file)
    names = {"blocked": set(blocked), "watched": list(watched)}
    script = RUN.format(file=str(path), out=str(tmp_path / "run"), **names)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = next(line for line in done.stderr.splitlines() if line.startswith("LOADED"))
    return json.loads(done.stdout), loaded


def test_a_linear_federation_needs_no_quantum_package_and_no_extra(tmp_path):
    summary, loaded = run(tmp_path, BLOCKED, [*BLOCKED, "transformers", "peft"])
    assert summary["rounds"] == 2 and summary["test_accuracy"] > summary["majority_accuracy"]
    assert loaded == "LOADED []"


def test_a_quantum_head_on_our_executor_needs_them_neither(tmp_path):
    file = FILE.replace("{kind: linear}", "{kind: quantum, qubits: 3, layers: 1}")
    summary, loaded = run(tmp_path, BLOCKED, [*BLOCKED, "transformers", "peft"], file)
    assert summary["quantum_parameters"] > 0
    assert loaded == "LOADED []"

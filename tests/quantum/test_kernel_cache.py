"""What is compiled once stays on disk: a second process compiles nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import qfedfm

PROGRAM = """
import json, torch
from qfedfm.circuits import family
from qfedfm.quantum import expectations, kernel_calls
circuit = family("strongly_entangling", qubits=3, layers=1)
x, w = torch.ones(2, 3, requires_grad=True), torch.ones(9, requires_grad=True)
expectations(circuit, x, w).sum().backward()
stats = [function.stats for function in (kernel_calls.forward, kernel_calls.backward)]
print(json.dumps([[sum(s.cache_hits.values()), sum(s.cache_misses.values())] for s in stats]))
"""


def run(cache: Path) -> list[list[int]]:
    path = os.pathsep.join([str(Path(qfedfm.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
    )
    found: list[list[int]] = json.loads(done.stdout)
    return found


@pytest.mark.slow
def test_a_second_process_compiles_nothing(tmp_path: Path) -> None:
    assert run(tmp_path) == [[0, 1], [0, 1]]
    assert run(tmp_path) == [[1, 0], [1, 0]]

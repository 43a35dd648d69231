"""Compilation, noisy Aer, the metric tensor and the PennyLane plug-in, each against its peer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from qfedfm.benchmarks.peers import pennylane_circuits
from qfedfm.benchmarks.quantum_steps import our_step, pennylane_step
from qfedfm.benchmarks.timing import interleaved
from qfedfm.core.errors import RunError

_FIRST_CALL = """
import json, time
import numba, torch
from qfedfm.circuits import family
from qfedfm.quantum import expectations
circuit = family("strongly_entangling", qubits=4, layers=2)
x, w = torch.zeros(32, 4, requires_grad=True), torch.zeros(24, requires_grad=True)
began = time.perf_counter(), time.process_time()
expectations(circuit, x, w).sum().backward()
print(json.dumps([time.perf_counter() - began[0], time.process_time() - began[1]]))
"""


def compilation() -> dict[str, float]:
    """Returns seconds of the first step ever on a machine, and of the first step of a later process.

    Both with torch and numba imported; the first compiles into an empty cache. Beside each the processor
    seconds, which a busy machine does not stretch as much.
    """
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"NUMBA_CACHE_DIR": cache}

        def run() -> list[float]:
            done = subprocess.run(
                [sys.executable, "-c", _FIRST_CALL], env=environment, capture_output=True, text=True
            )
            if done.returncode:
                raise RunError(f"the first call failed: {done.stderr.strip().splitlines()[-1:]}")
            found: list[float] = json.loads(done.stdout)
            return found

        once = run()
        later = sorted(run() for _ in range(3))[1]
    return {
        "once_per_machine_seconds": once[0],
        "once_per_machine_processor_seconds": once[1],
        "first_call_of_a_process_seconds": later[0],
        "first_call_of_a_process_processor_seconds": later[1],
    }


def noisy_aer(seconds: float, batch: int = 32, shots: int = 1024) -> dict[str, Any]:
    """Returns a batch on a fake backend in one broadcast job against one job a sample."""
    import torch

    from qfedfm.circuits import family
    from qfedfm.quantum import expectations

    circuit = family("strongly_entangling", qubits=4, layers=2)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, 4, generator=generator)
    w = torch.randn(24, generator=generator)

    def run(inputs: Any) -> object:
        return expectations(circuit, inputs, w, "aer:fake_manila", shots=shots, generator=generator)

    took = interleaved(
        {"one_job": lambda: run(x), "one_by_one": lambda: [run(row) for row in x.unsqueeze(1)]}, seconds, 3
    )
    return {
        "what": f"n=4 L=2 batch {batch}, {shots} shots on fake_manila",
        "milliseconds": {name: 1e3 * value for name, value in took.items()},
        "ratio": took["one_by_one"] / took["one_job"],
        "target": 8,
    }


def metric(seconds: float) -> dict[str, Any]:
    """Returns the full metric tensor against PennyLane's block-diagonal one, float64, one input."""
    import torch

    from qfedfm.circuits import family
    from qfedfm.quantum import metric_tensor

    circuit = family("strongly_entangling", qubits=4, layers=2)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 4, generator=generator, dtype=torch.float64)
    w = torch.randn(24, generator=generator, dtype=torch.float64)

    peer = pennylane_circuits.block_diagonal_metric(4, 2, x[0], w)
    many = torch.randn(32, 4, generator=generator, dtype=torch.float64)
    took = interleaved(
        {
            "block_diagonal": peer,
            "full": lambda: metric_tensor(circuit, x, w),
            "full_of_32_inputs": lambda: metric_tensor(circuit, many, w),
        },
        seconds,
    )
    return {
        "what": "full metric tensor n=4 L=2, against PennyLane's block-diagonal",
        "milliseconds": {name: 1e3 * value for name, value in took.items()},
        "ratio": took["block_diagonal"] / took["full"],
        "target": 4,
        "32_inputs_over_one": took["full_of_32_inputs"] / took["full"],
    }


def plugin(seconds: float) -> dict[str, Any]:
    """Returns a step through the PennyLane plug-in against default.qubit and against the bare executor."""
    import torch

    from qfedfm.circuits import family

    rows = []
    for qubits, layers, batch in ((4, 2, 32), (8, 3, 32), (12, 4, 64)):
        circuit = family("strongly_entangling", qubits=qubits, layers=layers)
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(batch, qubits, generator=generator).requires_grad_()
        w = torch.randn(layers, qubits, 3, generator=generator).requires_grad_()
        flat = w.detach().reshape(-1).requires_grad_()
        upstream = torch.randn(batch, qubits, generator=generator)
        sides: dict[str, Callable[[], object]] = {}
        for device in ("default.qubit", "qfedfm.statevector"):
            node = pennylane_circuits.node(qubits, layers, device=device)
            sides[device] = pennylane_step(node, x, w, upstream)
        sides["bare executor"] = our_step(circuit, x, flat, upstream, "statevector")
        took = interleaved(sides, seconds, least=3)
        rows.append(
            {
                "size": f"n={qubits} L={layers} B={batch}",
                "milliseconds": {name: 1e3 * value for name, value in took.items()},
                "ratio": took["default.qubit"] / took["qfedfm.statevector"],
                "overhead_milliseconds": 1e3 * (took["qfedfm.statevector"] - took["bare executor"]),
            }
        )
    return {"what": "through qml.device('qfedfm.statevector')", "sizes": rows}


def wide(seconds: float) -> dict[str, Any]:
    """Returns one sample on 20 qubits: seconds a step, and seconds from the start of a process."""
    import torch

    from qfedfm.circuits import family

    circuit = family("strongly_entangling", qubits=20, layers=4)
    x, w = torch.zeros(1, 20, requires_grad=True), torch.zeros(240, requires_grad=True)
    step = our_step(circuit, x, w, torch.ones(1, 20), "statevector")
    began = time.perf_counter()
    step()
    first = time.perf_counter() - began
    took = interleaved({"step": step}, seconds, 3)
    return {"size": "n=20 L=4 B=1", "step_seconds": took["step"], "first_step_seconds": first}

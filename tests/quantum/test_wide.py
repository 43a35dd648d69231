"""One sample on many qubits: the same numbers as torch, whatever the threads, in three states of memory."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
import torch
from quantum_judges import all_gates, draw
from torch import Tensor

import qfedfm
from qfedfm.circuits import Circuit, family
from qfedfm.core.errors import RequestError
from qfedfm.quantum import expectations, memory_needed, wide
from qfedfm.quantum.memory import is_wide


def values_and_gradients(circuit: Circuit, inputs: Tensor, weights: Tensor, wide_one: bool) -> list[Tensor]:
    x, w = inputs.clone().requires_grad_(), weights.clone().requires_grad_()
    out = wide.run(circuit, x, w) if wide_one else expectations(circuit, x, w, "torch")
    upstream = torch.linspace(-1, 2, out.numel(), dtype=out.dtype).reshape(out.shape).sin()
    found = torch.autograd.grad(out, (x, w), upstream, allow_unused=True)
    return [
        out.detach(),
        *(torch.zeros_like(a) if g is None else g for a, g in zip((x, w), found, strict=True)),
    ]


def check(circuit: Circuit) -> None:
    inputs, weights = draw(circuit, 2, batch=2)
    wanted = values_and_gradients(circuit, inputs, weights, False)
    for dtype, tolerances in ((torch.float64, (1e-10, 1e-9)), (torch.float32, (1e-5, 1e-4))):
        got = values_and_gradients(circuit, inputs.to(dtype), weights.to(dtype), True)
        for one, other, tolerance in zip(got, wanted, (*tolerances, tolerances[1]), strict=True):
            torch.testing.assert_close(one.double(), other, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", ["strongly_entangling", "reuploading", "iqp", "matchgate", "brickwork"])
@pytest.mark.parametrize("qubits", [7, 9])
def test_families_agree_with_torch(name: str, qubits: int) -> None:
    check(family(name, qubits=qubits, layers=2))


@pytest.mark.parametrize("seed", range(4))
def test_every_gate_and_pauli_string_agrees_with_torch(seed: int) -> None:
    check(all_gates(seed, 8, 60))


def test_it_is_used_for_few_samples_on_many_qubits_only() -> None:
    circuit = family("basic_entangler", qubits=14, layers=1)
    assert is_wide(circuit, 1, 4) and is_wide(circuit, 7, 4) and not is_wide(circuit, 8, 4)
    assert is_wide(circuit, 3, 8) and not is_wide(circuit, 4, 8)
    assert not is_wide(family("basic_entangler", qubits=13, layers=1), 1, 4)
    inputs, weights = draw(circuit, batch=8)
    many = expectations(circuit, inputs, weights)  # samples in lanes
    one = expectations(circuit, inputs[:1], weights)
    torch.testing.assert_close(one, many[:1], rtol=0, atol=1e-12)


def test_threads_do_not_change_a_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = all_gates(2, 9, 60)
    inputs, weights = draw(circuit, batch=1)
    results = []
    for threads in (1, 2, 5):
        monkeypatch.setattr(wide.WidePlan, "threads", lambda self, count=threads: count)
        results.append(values_and_gradients(circuit, inputs.float(), weights.float(), True))
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_two_backward_passes_and_no_second_derivative() -> None:
    circuit = family("strongly_entangling", qubits=7, layers=1)
    inputs, weights = draw(circuit, batch=1)
    weights.requires_grad_()
    out = wide.run(circuit, inputs, weights).sum()
    (first,) = torch.autograd.grad(out, weights, retain_graph=True)
    (second,) = torch.autograd.grad(out, weights, retain_graph=True)
    assert torch.equal(first, second)
    with pytest.raises(RequestError, match="second derivatives"):
        torch.autograd.grad(out, weights, create_graph=True)


def test_arrays_of_a_step_take_at_most_4_state_vectors() -> None:
    qubits = 15
    state = 8 << qubits
    circuit = family("strongly_entangling", qubits=qubits, layers=2)
    assert memory_needed(circuit, 1) <= 4 * state
    x, w = (t.float().requires_grad_() for t in draw(circuit, batch=1))
    expectations(circuit, x, w).sum().backward()  # compiles
    tracemalloc.start()
    try:
        expectations(circuit, x, w).sum().backward()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 2 * state < peak <= 4 * state


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_process_grows_by_at_most_4_state_vectors_in_a_step_on_20_qubits() -> None:
    state = 8 << 20
    probe = Path(__file__).with_name("memory_probe.py")
    root = str(Path(qfedfm.__file__).parents[1])
    path = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    command, environment = [sys.executable, str(probe)], os.environ | {"PYTHONPATH": path}
    subprocess.run(command, env=environment, check=True, capture_output=True)  # compiles
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert 2 * state < int(done.stdout) <= 4 * state

"""Prints by how many bytes a step on 20 qubits raises the peak of resident memory. A program, for Linux."""

from pathlib import Path

import torch

from qfedfm.circuits import family
from qfedfm.quantum import expectations


def step(qubits: int) -> None:
    circuit = family("strongly_entangling", qubits=qubits, layers=3)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, qubits, generator=generator).requires_grad_()
    w = torch.randn(circuit.n_weights, generator=generator).requires_grad_()
    expectations(circuit, x, w).sum().backward()
    assert x.grad is not None and w.grad is not None


def resident(name: str) -> int:
    """``VmRSS`` (now) or ``VmHWM`` (the peak), bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))


if __name__ == "__main__":
    torch.set_num_threads(2)
    step(14)  # loads the kernels
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    before = resident("VmRSS")
    step(20)
    print(resident("VmHWM") - before)

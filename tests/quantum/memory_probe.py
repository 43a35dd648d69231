"""Prints how many bytes the largest resident memory grows in one step on 20 qubits. Run as a program."""

import resource

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


if __name__ == "__main__":
    torch.set_num_threads(2)
    step(14)  # loads the kernels
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step(20)
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)

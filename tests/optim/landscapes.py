"""Landscapes over a real circuit, with a loss that is known."""

from __future__ import annotations

import torch

from qfedfm.circuits import family
from qfedfm.optim.circuits.landscape import CircuitView, Landscape
from qfedfm.quantum import trained_weights


def landscape(circuit=None, clients=2, batch=3, seed=0, loss="linear", mask=None, dtype=torch.float64):
    """Clients with their own inputs and weights; the loss is a fixed function of outputs."""
    circuit = circuit or family("strongly_entangling", qubits=3, layers=2)
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(clients, batch, circuit.n_inputs, generator=generator, dtype=torch.float64)
    trained = trained_weights(circuit)
    weights = torch.randn(clients, len(trained), generator=generator, dtype=torch.float64)
    slope = torch.randn(circuit.n_observables, generator=generator, dtype=torch.float64)
    mask = torch.ones(clients, batch) if mask is None else mask

    def losses(logits):  # (K, P, B, C) to (K, P)
        if loss == "linear":
            each = logits @ slope.to(logits)
        else:
            each = torch.nn.functional.softplus(3 * logits @ slope.to(logits)) + logits.square().sum(-1)
        kept = mask[: len(logits)].to(logits)  # a part of the clients only where all samples count
        return (each * kept.unsqueeze(1)).sum(2) / kept.sum(1, keepdim=True)

    view = CircuitView(
        circuit, "statevector", inputs.to(dtype), weights.to(dtype), trained, lambda outputs: outputs
    )
    generators = [torch.Generator().manual_seed(100 + k) for k in range(clients)]
    return Landscape(view, losses, mask.to(dtype), generators)


def exact_gradient(scene):
    """The gradient (K, w) by the executor's own derivatives."""
    from qfedfm.quantum import expectations

    view = scene.view
    leaf = view.weights.clone().requires_grad_()
    whole = torch.zeros(len(leaf), view.circuit.n_weights, dtype=leaf.dtype)
    whole = whole.index_copy(1, torch.tensor(view.trained), leaf)
    outputs = expectations(view.circuit, view.inputs, whole, "torch")
    scene.losses_of(outputs.unsqueeze(0)).sum().backward()
    return leaf.grad

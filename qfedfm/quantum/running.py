"""``expectations``: one function in front of every executor."""

from __future__ import annotations

import math
from importlib import import_module

import torch
from torch import Tensor

from qfedfm.circuits import Circuit
from qfedfm.core.errors import RequestError
from qfedfm.quantum.memory import check_memory
from qfedfm.quantum.names import check_executor
from qfedfm.quantum.noise import Noise


def expectations(
    circuit: Circuit,
    inputs: Tensor,
    weights: Tensor,
    executor: str = "statevector",
    *,
    shots: int | None = None,
    generator: torch.Generator | None = None,
    noise: Noise | None = None,
    check_finite: bool | None = None,
) -> Tensor:
    """Runs a circuit on every sample of every client.

    ``statevector`` is the compiled executor: on the CPU (tensors elsewhere are copied there and back),
    without second derivatives. ``torch`` is the same mathematics in torch operations on any device.
    ``auto`` is ``torch`` for tensors on a GPU and ``statevector`` otherwise. ``pennylane:<device>`` is any
    device of PennyLane; ``aer``, ``aer:density_matrix``, ``aer:matrix_product_state`` and
    ``aer:<fake backend>`` are Qiskit Aer, with gradients by parameter shift.

    Args:
        circuit: What to run.
        inputs: Shape ``(*clients, batch, n_inputs)``, radians, float32 or float64.
        weights: Shape ``(*clients, n_weights)``, radians, same dtype and device.
        executor: See above, and :func:`qfedfm.quantum.check_executor`.
        shots: Estimate from this many measured bit strings instead of exactly; on ``statevector`` and
            ``torch`` without gradient.
        generator: Source of the shots; torch's default generator if none is given.
        noise: Errors of gates and readout; on ``pennylane:default.mixed`` and ``aer:density_matrix``.
        check_finite: Whether to refuse NaN and infinities. By default only without client axes: with
            them, a client with such numbers gets NaN and the others are untouched.

    Returns:
        Expectation values, shape ``(*clients, batch, n_observables)``, differentiable in both.

    Raises:
        RequestError: Wrong shapes or dtypes, NaN or infinite angles, an unknown executor, or more
            memory needed than there is (says how many bytes).
    """
    clients = check_shapes(circuit, inputs, weights, check_finite)
    name = check_executor(executor)
    if name == "auto":
        name = "torch" if inputs.is_cuda else "statevector"
    _check_fits(circuit, inputs, name)
    batch, count = inputs.shape[-2], math.prod(clients)
    flat = inputs.reshape(count, batch, circuit.n_inputs), weights.reshape(count, circuit.n_weights)
    if shots is not None and shots < 1:
        raise RequestError(f"shots must be at least 1, got {shots}")
    kind, _, rest = name.partition(":")
    if kind in ("pennylane", "aer"):
        module = import_module(f"qfedfm.quantum.{kind}_executor")
        noise = noise or Noise()
        noise.check(circuit)
        out: Tensor = module.run(circuit, *flat, rest, noise, shots, generator)
        return out.reshape(*clients, batch, circuit.n_observables)
    if noise is not None and noise != Noise():
        raise RequestError(f"executor {name} has no noise: use aer:density_matrix or pennylane:default.mixed")
    if shots is None:
        return _exact(circuit, name, *flat).reshape(*clients, batch, circuit.n_observables)
    from qfedfm.quantum.torch_executor import plan
    from qfedfm.quantum.torch_measuring import sampled_expectations

    with torch.no_grad():
        found = plan(circuit, inputs.dtype, inputs.device).states(*flat)
        return sampled_expectations(circuit, found, shots, generator).reshape(
            *clients, batch, circuit.n_observables
        )


def _exact(circuit: Circuit, name: str, inputs: Tensor, weights: Tensor) -> Tensor:
    if name == "torch":
        from qfedfm.quantum import torch_executor

        return torch_executor.plan(circuit, inputs.dtype, inputs.device).expectations(inputs, weights)
    from qfedfm.quantum import statevector

    assert name == "statevector"
    return statevector.run(circuit, inputs.cpu(), weights.cpu()).to(inputs.device)


def states(circuit: Circuit, inputs: Tensor, weights: Tensor) -> Tensor:
    """Returns the final states, complex, shape ``(*clients, batch, 2**n)``, differentiable in both.

    Args:
        circuit: What to run.
        inputs: Shape ``(*clients, batch, n_inputs)``.
        weights: Shape ``(*clients, n_weights)``.
    """
    from qfedfm.quantum.torch_executor import plan

    clients = check_shapes(circuit, inputs, weights, None)
    _check_fits(circuit, inputs, "torch")
    batch, count = inputs.shape[-2], math.prod(clients)
    found = plan(circuit, inputs.dtype, inputs.device).states(
        inputs.reshape(count, batch, circuit.n_inputs), weights.reshape(count, circuit.n_weights)
    )
    return found.reshape(*clients, batch, 2**circuit.qubits)


def check_shapes(
    circuit: Circuit, inputs: Tensor, weights: Tensor, check_finite: bool | None
) -> tuple[int, ...]:
    """Returns the client axes, or raises a sentence that says what is wrong with the arguments."""
    if inputs.dim() < 2 or inputs.shape[-1] != circuit.n_inputs:
        raise RequestError(
            f"circuit {circuit.name} takes inputs of shape (*clients, batch, {circuit.n_inputs}), "
            f"got {tuple(inputs.shape)}"
        )
    clients = tuple(inputs.shape[:-2])
    if tuple(weights.shape) != (*clients, circuit.n_weights):
        raise RequestError(
            f"circuit {circuit.name} takes weights of shape {(*clients, circuit.n_weights)} "
            f"for these inputs, got {tuple(weights.shape)}"
        )
    if inputs.dtype not in (torch.float32, torch.float64) or weights.dtype != inputs.dtype:
        raise RequestError(
            f"inputs and weights must both be float32 or both float64, got {inputs.dtype} and {weights.dtype}"
        )
    if inputs.device != weights.device:
        raise RequestError(f"inputs are on {inputs.device}, weights on {weights.device}")
    if check_finite is None:
        check_finite = not clients
    if check_finite:
        for name, values in (("inputs", inputs), ("weights", weights)):
            if not bool(torch.isfinite(values.detach()).all()):
                raise RequestError(f"the {name} of circuit {circuit.name} contain NaN or infinity")
    return clients


def _check_fits(circuit: Circuit, inputs: Tensor, executor: str) -> None:
    count = inputs.numel() // max(1, circuit.n_inputs) if circuit.n_inputs else inputs.shape[:-1].numel()
    free = None
    if executor == "torch" and inputs.is_cuda and circuit.qubits > 12:
        free = torch.cuda.mem_get_info(inputs.device)[0]
    check_memory(circuit, count, 1, str(inputs.dtype), executor, free)

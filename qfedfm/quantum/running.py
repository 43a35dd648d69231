"""``expectations``: one function in front of every executor."""

from __future__ import annotations

import math
from importlib import import_module
from typing import Literal

import torch
from torch import Tensor

from qfedfm.circuits import Circuit
from qfedfm.core.errors import RequestError
from qfedfm.quantum.checking import check_numbers, check_shapes
from qfedfm.quantum.memory import check_memory
from qfedfm.quantum.names import check_executor, resolve_executor
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
    gradient: Literal["exact", "spsa"] = "exact",
    check_finite: bool | None = None,
) -> Tensor:
    """Runs a circuit on every sample of every client.

    ``statevector`` is the compiled executor: on the CPU (tensors elsewhere are copied there and back),
    without second derivatives. ``torch`` is the same mathematics in torch operations on any device.
    ``auto`` is ``torch`` for tensors on a GPU and ``statevector`` otherwise. ``pennylane:<device>`` is any
    device of PennyLane; ``aer``, ``aer:density_matrix``, ``aer:matrix_product_state`` and
    ``aer:<fake backend>`` are Qiskit Aer, with gradients by parameter shift. ``ibm:<backend>`` runs jobs
    through IBM's runtime, on a fake backend here and now, on a real one within a run's budget only.

    Args:
        circuit: What to run.
        inputs: Shape ``(*clients, batch, n_inputs)``, radians, float32 or float64.
        weights: Shape ``(*clients, n_weights)``, radians, same dtype and device.
        executor: See above, and :func:`qfedfm.quantum.check_executor`.
        shots: Estimate from this many measured bit strings instead of exactly; on ``statevector`` and
            ``torch`` without gradient.
        generator: Source of the shots; torch's default generator if none is given.
        noise: Errors of gates and readout; on ``pennylane:default.mixed`` and ``aer:density_matrix``.
        gradient: On ``aer`` and ``ibm``, ``exact`` is the parameter-shift rule (two circuits for each angle,
            in one job), ``spsa`` an unbiased estimate from two (Spall, 1992); others are always exact.
        check_finite: Whether to refuse NaN and infinities. By default only without client axes: with
            them, a client with such numbers gets NaN and the others are untouched.

    Returns:
        Expectation values, shape ``(*clients, batch, n_observables)``, differentiable in both.

    Raises:
        RequestError: Wrong shapes or dtypes, NaN or infinite angles, an unknown executor, or more
            memory needed than there is (says how many bytes).
    """
    clients = check_shapes(circuit, inputs, weights)
    name = resolve_executor(check_executor(executor), inputs.device.type)
    _check_fits(circuit, inputs, name)
    if noise is not None and noise == Noise():
        noise = None
    if gradient not in ("exact", "spsa"):
        raise RequestError(f"gradient must be exact or spsa, got {gradient!r}")
    if gradient == "spsa" and name in ("statevector", "torch"):
        raise RequestError(f"gradient spsa is of executors aer and ibm; {name} has exact gradients")
    finite = not clients if check_finite is None else check_finite
    if name == "statevector" and shots is None and noise is None:
        from qfedfm.quantum import statevector

        if inputs.is_cpu:
            return statevector.run(circuit, inputs, weights, finite)
        return statevector.run(circuit, inputs.cpu(), weights.cpu(), finite).to(inputs.device)
    if finite:
        check_numbers(circuit, inputs, weights)
    if shots is not None and shots < 1:
        raise RequestError(f"shots must be at least 1, got {shots}")
    batch, count = inputs.shape[-2], math.prod(clients)
    flat = inputs.reshape(count, batch, circuit.n_inputs), weights.reshape(count, circuit.n_weights)
    out = _run(circuit, name, *flat, noise, shots, generator, gradient)
    return out.reshape(*clients, batch, circuit.n_observables)


def _run(
    circuit: Circuit,
    name: str,
    inputs: Tensor,
    weights: Tensor,
    noise: Noise | None,
    shots: int | None,
    generator: torch.Generator | None,
    gradient: str,
) -> Tensor:
    """Returns ``(K, B, observables)`` for inputs ``(K, B, n)`` and weights ``(K, m)``."""
    kind, _, rest = name.partition(":")
    if kind in ("pennylane", "aer", "ibm"):
        module = import_module(f"qfedfm.quantum.{kind}_executor")
        noise = noise or Noise()
        noise.check(circuit)
        outside: Tensor = module.run(circuit, inputs, weights, rest, noise, shots, generator, gradient)
        return outside
    if noise is not None:
        raise RequestError(f"executor {name} has no noise: use aer:density_matrix or pennylane:default.mixed")
    from qfedfm.quantum.torch_executor import plan

    prepared = plan(circuit, inputs.dtype, inputs.device)
    if shots is None:
        return prepared.expectations(inputs, weights)
    from qfedfm.quantum.torch_measuring import sampled_expectations

    with torch.no_grad():
        return sampled_expectations(circuit, prepared.states(inputs, weights), shots, generator)


def states(circuit: Circuit, inputs: Tensor, weights: Tensor) -> Tensor:
    """Returns the final states, complex, shape ``(*clients, batch, 2**n)``, differentiable in both.

    Args:
        circuit: What to run.
        inputs: Shape ``(*clients, batch, n_inputs)``.
        weights: Shape ``(*clients, n_weights)``.
    """
    from qfedfm.quantum.torch_executor import plan

    clients = check_shapes(circuit, inputs, weights)
    if not clients:
        check_numbers(circuit, inputs, weights)
    _check_fits(circuit, inputs, "torch")
    batch, count = inputs.shape[-2], math.prod(clients)
    found = plan(circuit, inputs.dtype, inputs.device).states(
        inputs.reshape(count, batch, circuit.n_inputs), weights.reshape(count, circuit.n_weights)
    )
    return found.reshape(*clients, batch, 2**circuit.qubits)


# Amplitudes (samples times 2**n) up to which no call can be too large, whatever the executor.
_SMALL = 1 << 17


def _check_fits(circuit: Circuit, inputs: Tensor, executor: str) -> None:
    count = inputs.shape[:-1].numel()
    if circuit.qubits < 16 and count << circuit.qubits <= _SMALL:
        return
    free = None
    if executor == "torch" and inputs.is_cuda and circuit.qubits > 12:
        free = torch.cuda.mem_get_info(inputs.device)[0]
    batch = inputs.shape[-2]
    check_memory(circuit, batch, inputs.shape[:-2].numel(), str(inputs.dtype), executor, free)

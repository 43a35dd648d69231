"""The Fubini-Study metric tensor: how far a state moves. Stokes et al., 2020, arXiv:1909.02108.

``g_ij = Re(<d_i psi|d_j psi> - <d_i psi|psi><psi|d_j psi>)``, a quarter of the quantum Fisher information.

A weight with identically zero gradient (``circuit.zero_gradient_weights``) has a metric that is not zero and
couples to other weights. For a natural gradient the convention of the package is to drop the rows and columns
of these weights before the pseudo-inverse: :func:`trained_weights` gives those that stay.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from qfedfm.circuits import Circuit, Rotation
from qfedfm.core.errors import RequestError
from qfedfm.quantum.checking import check_numbers, check_shapes

if TYPE_CHECKING:
    from qfedfm.quantum.torch_executor import TorchPlan

_AMPLITUDES_AT_ONCE = 1 << 21


def _derivatives(
    prepared: TorchPlan, inputs: Tensor, weights: Tensor, tangents: Tensor
) -> tuple[Tensor, Tensor]:
    result: Any = torch.func.jvp(lambda w: prepared.states(inputs, w), (weights,), (tangents,))
    return result[0], result[1]


def trained_weights(circuit: Circuit) -> tuple[int, ...]:
    """Returns the positions of the weights whose gradient is not identically zero."""
    zero = set(circuit.zero_gradient_weights)
    return tuple(index for index in range(circuit.n_weights) if index not in zero)


def metric_blocks(circuit: Circuit) -> tuple[tuple[int, ...], ...]:
    """Returns the weights in blocks: those that act in the same layers stand together.

    A rotation by a weight is in the layer after the last one that has such a rotation before it on its
    qubits, through entanglers too; rotations of one layer commute. A weight of several rotations is in all
    their layers.
    """
    reached = [0] * circuit.qubits
    layers: dict[int, set[int]] = {}
    for primitive in circuit.primitives():
        layer = max(reached[qubit] for qubit in primitive.qubits)
        if isinstance(primitive, Rotation):
            if primitive.angle.weights:
                for weight in primitive.angle.weights:
                    layers.setdefault(weight, set()).add(layer)
                layer += 1
        for qubit in primitive.qubits:
            reached[qubit] = layer
    blocks: dict[tuple[int, ...], list[int]] = {}
    for weight in range(circuit.n_weights):
        blocks.setdefault(tuple(sorted(layers.get(weight, ()))), []).append(weight)
    return tuple(tuple(block) for _, block in sorted(blocks.items()))


def metric_tensor(
    circuit: Circuit,
    inputs: Tensor,
    weights: Tensor,
    kind: Literal["full", "block", "diagonal"] = "full",
) -> Tensor:
    """Returns the metric for every sample of every client, all weights included.

    Args:
        circuit: What is run.
        inputs: Shape ``(*clients, batch, n_inputs)``.
        weights: Shape ``(*clients, n_weights)``.
        kind: ``full``; ``block``, which is 0 between weights of different layers (:func:`metric_blocks`); or
            ``diagonal`` for its diagonal alone.

    Returns:
        Shape ``(*clients, batch, n_weights, n_weights)``, or ``(*clients, batch, n_weights)``.

    Raises:
        RequestError: Wrong shapes or an unknown kind.
    """
    from qfedfm.quantum.torch_executor import plan

    clients = check_shapes(circuit, inputs, weights)
    if not clients:
        check_numbers(circuit, inputs, weights)
    if kind not in ("full", "block", "diagonal"):
        raise RequestError(f"kind of metric_tensor must be full, block or diagonal, got {kind!r}")
    prepared = plan(circuit, inputs.dtype, inputs.device)
    batch, count = inputs.shape[-2], circuit.n_weights
    shape = (count,) if kind == "diagonal" else (count, count)
    flat_x = inputs.detach().reshape(math.prod(clients), batch, circuit.n_inputs)
    flat_w = weights.detach().reshape(math.prod(clients), count)
    if count == 0:
        return inputs.new_zeros(*clients, batch, *shape)
    together = max(1, _AMPLITUDES_AT_ONCE // (count * batch << circuit.qubits))
    found = [
        _metric(prepared, x, w, kind)
        for x, w in zip(torch.split(flat_x, together), torch.split(flat_w, together), strict=True)
    ]
    metric = torch.cat(found).reshape(*clients, batch, *shape)
    return metric * _mask(circuit, metric) if kind == "block" else metric


def _metric(prepared: TorchPlan, inputs: Tensor, weights: Tensor, kind: str) -> Tensor:
    """The metric of some clients: ``(K, B, m, m)``, or ``(K, B, m)``."""
    clients, batch, _ = inputs.shape
    count = weights.shape[-1]
    # One client per client and direction: all derivatives of all samples in one batched forward-mode call.
    tangents = torch.eye(count, dtype=inputs.dtype, device=inputs.device).repeat(clients, 1)
    with warnings.catch_warnings():
        # torch compiles its own forward-mode formulas in a way that it has deprecated itself
        warnings.simplefilter("ignore", DeprecationWarning)
        state, moved = _derivatives(
            prepared, inputs.repeat_interleave(count, 0), weights.repeat_interleave(count, 0), tangents
        )
    psi = state.reshape(clients, count, batch, -1)[:, 0]  # (K, B, D)
    slopes = moved.reshape(clients, count, batch, -1).transpose(1, 2)  # (K, B, m, D)
    along = torch.einsum("kbmd,kbd->kbm", slopes.conj(), psi)
    if kind == "diagonal":
        return (slopes.abs().square().sum(-1) - along.abs().square()).real
    inner = torch.einsum("kbid,kbjd->kbij", slopes.conj(), slopes)
    return (inner - along.unsqueeze(-1) * along.conj().unsqueeze(-2)).real


def _mask(circuit: Circuit, like: Tensor) -> Tensor:
    mask = torch.zeros(circuit.n_weights, circuit.n_weights, dtype=like.dtype, device=like.device)
    for block in metric_blocks(circuit):
        rows = torch.tensor(block, device=like.device)
        mask[rows.unsqueeze(1), rows] = 1.0
    return mask

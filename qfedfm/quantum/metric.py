"""The Fubini-Study metric tensor: how far a state moves. Stokes et al., 2020, arXiv:1909.02108.

``g_ij = Re(<d_i psi|d_j psi> - <d_i psi|psi><psi|d_j psi>)``, a quarter of the quantum Fisher information.

A weight with identically zero gradient (``circuit.zero_gradient_weights``) has a metric that is not zero and
couples to other weights. For a natural gradient the convention of the package is to drop the rows and columns
of these weights before the pseudo-inverse: :func:`trained_weights` gives those that stay.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from qfedfm.circuits import Circuit
from qfedfm.core.errors import RequestError
from qfedfm.quantum.running import check_shapes

if TYPE_CHECKING:
    from qfedfm.quantum.torch_executor import TorchPlan


def _derivatives(
    prepared: TorchPlan, inputs: Tensor, weights: Tensor, tangents: Tensor
) -> tuple[Tensor, Tensor]:
    result: Any = torch.func.jvp(lambda w: prepared.states(inputs, w), (weights,), (tangents,))
    return result[0], result[1]


def trained_weights(circuit: Circuit) -> tuple[int, ...]:
    """Returns the positions of the weights whose gradient is not identically zero."""
    zero = set(circuit.zero_gradient_weights)
    return tuple(index for index in range(circuit.n_weights) if index not in zero)


def metric_tensor(
    circuit: Circuit,
    inputs: Tensor,
    weights: Tensor,
    kind: Literal["full", "diagonal"] = "full",
) -> Tensor:
    """Returns the metric for every sample of every client, all weights included.

    Args:
        circuit: What is run.
        inputs: Shape ``(*clients, batch, n_inputs)``.
        weights: Shape ``(*clients, n_weights)``.
        kind: ``full``, or ``diagonal`` for its diagonal alone.

    Returns:
        Shape ``(*clients, batch, n_weights, n_weights)``, or ``(*clients, batch, n_weights)``.

    Raises:
        RequestError: Wrong shapes or an unknown kind.
    """
    from qfedfm.quantum.torch_executor import plan

    clients = check_shapes(circuit, inputs, weights, None)
    if kind not in ("full", "diagonal"):
        raise RequestError(f"kind of metric_tensor must be full or diagonal, got {kind!r}")
    prepared = plan(circuit, inputs.dtype, inputs.device)
    batch, count = inputs.shape[-2], circuit.n_weights
    flat_x = inputs.detach().reshape(-1, batch, circuit.n_inputs)
    flat_w = weights.detach().reshape(len(flat_x), count)
    tangents = torch.eye(count, dtype=inputs.dtype, device=inputs.device)
    found = []
    for x, w in zip(flat_x, flat_w, strict=True):
        # One client per direction: all derivatives of all samples in one batched forward-mode call.
        with warnings.catch_warnings():
            # torch compiles its own forward-mode formulas in a way that it has deprecated itself
            warnings.simplefilter("ignore", DeprecationWarning)
            state, moved = _derivatives(prepared, x.expand(count, -1, -1), w.repeat(count, 1), tangents)
        psi, slopes = state[0], moved.transpose(0, 1)  # (B, D), (B, m, D)
        along = torch.einsum("bmd,bd->bm", slopes.conj(), psi)
        if kind == "diagonal":
            found.append((slopes.abs().square().sum(-1) - along.abs().square()).real)
            continue
        inner = torch.einsum("bid,bjd->bij", slopes.conj(), slopes)
        found.append((inner - along.unsqueeze(-1) * along.conj().unsqueeze(-2)).real)
    shape = (count, count) if kind == "full" else (count,)
    return torch.stack(found).reshape(*clients, batch, *shape)

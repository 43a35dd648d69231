"""A batch as a function of circuit weights alone: everything else of the head is as it is now.

Shapes: K = clients, B = batch, P = points, q = circuit inputs, w = trained circuit weights, m = all circuit
weights, o = observables, C = classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from qfedfm.optim.circuits.shifts import shifts_of
from qfedfm.quantum import expectations, metric_tensor, states

if TYPE_CHECKING:
    from qfedfm.circuits import Circuit


@dataclass(frozen=True)
class CircuitView:
    """The circuit inside a head, on one batch.

    Args:
        circuit: What is run.
        executor: What runs it.
        inputs: Its inputs, (K, B, q), radians, detached.
        weights: Its trained weights, (K, w), detached.
        trained: The positions of the trained weights among all, (w,); the others are 0.
        finish: From expectation values (K, B', o), B' any number, to logits (K, B', C).
    """

    circuit: Circuit
    executor: str
    inputs: Tensor
    weights: Tensor
    trained: tuple[int, ...]
    finish: Callable[[Tensor], Tensor]


class Landscape:
    """Losses, fidelities, metric tensors and gradients of all clients at points that an optimizer names.

    Args:
        view: The circuit on this batch.
        loss: From logits (K, P, B, C) to each client's mean loss, (K, P).
        mask_KB: 1 for samples, 0 for padding.
        generators: Each client's own source of randomness, K of them.
    """

    def __init__(
        self,
        view: CircuitView,
        loss: Callable[[Tensor], Tensor],
        mask_KB: Tensor,
        generators: Sequence[torch.Generator],
    ) -> None:
        self.view, self.generators = view, generators
        self._loss, self._mask = loss, mask_KB

    @property
    def weights(self) -> Tensor:
        """The weights as they are, (K, w)."""
        return self.view.weights

    def outputs(self, points_PKw: Tensor, shots: int | None = None) -> Tensor:
        """Returns expectation values at several weights, (P, K, B, o).

        Args:
            points_PKw: The weights, radians.
            shots: Measurements per expectation value, drawn from each client's generator; None for exact.
        """
        return self._run(self.view.circuit, self._all(points_PKw), shots)

    def losses(self, points_PKw: Tensor, shots: int | None = None) -> Tensor:
        """Returns each client's mean loss at several weights, (P, K)."""
        return self.losses_of(self.outputs(points_PKw, shots))

    def losses_of(self, outputs_PKBo: Tensor) -> Tensor:
        """Returns each client's mean loss for given expectation values, (P, K)."""
        points, clients, batch, _ = outputs_PKBo.shape
        folded = outputs_PKBo.transpose(0, 1).reshape(clients, points * batch, -1)
        logits = self.view.finish(folded)
        return self._loss(logits.reshape(clients, points, batch, -1)).T

    def metric(self, kind: Literal["full", "block", "diagonal"]) -> Tensor:
        """Returns the Fubini–Study metric of the trained weights, (K, w, w) or (K, w), float64.

        It is the mean over each client's samples.
        """
        view = self.view
        found = metric_tensor(view.circuit, view.inputs.double(), self._all(view.weights.double()), kind)
        share = (self._mask / self._mask.sum(1, keepdim=True)).double()
        mean = torch.einsum("kb,kb...->k...", share, found)
        rows = torch.tensor(view.trained, device=mean.device)
        return mean[:, rows] if kind == "diagonal" else mean[:, rows.unsqueeze(1), rows]

    def fidelities(self, points_PKw: Tensor, shots: int | None = None) -> Tensor:
        """Returns the mean over samples of ``|⟨ψ(weights)|ψ(point)⟩|²``, (P, K).

        Args:
            points_PKw: The weights, radians.
            shots: Repetitions of the compute-uncompute test that each fidelity is estimated from.
        """
        view = self.view
        here = states(view.circuit, view.inputs, self._all(view.weights))
        there = states(view.circuit, self._inputs(len(points_PKw)), self._all(points_PKw))
        fidelity = (here.conj() * there).sum(-1).abs().square()
        if shots is not None:
            for client, (generator, samples) in enumerate(zip(self.generators, self._samples(), strict=True)):
                # One uniform number a repetition: how many are drawn does not depend on the fidelity.
                chance = fidelity[:, client, :samples].unsqueeze(-1)
                drawn = torch.rand(*chance.shape[:2], shots, generator=generator)
                fidelity[:, client, :samples] = (drawn < chance).to(fidelity).mean(-1)
        share = self._mask / self._mask.sum(1, keepdim=True)
        return torch.einsum("kb,pkb->pk", share.to(fidelity), fidelity)

    def shifted_gradient(self, shots: int | None = None) -> Tensor:
        """Returns the gradient of each client's loss by the parameter-shift rule, (K, w).

        Args:
            shots: Measurements per expectation value; None for exact values.
        """
        view = self.view
        rule = shifts_of(view.circuit)
        base = self._all(view.weights)
        centre = self._run(view.circuit, base.unsqueeze(0), shots)[0]
        points = torch.tensor(rule.points, dtype=base.dtype, device=base.device)  # (P, gate angles)
        shifted = torch.cat(
            [
                base.expand(len(points), -1, -1),
                points.unsqueeze(1).expand(-1, len(base), -1),
            ],
            dim=-1,
        )
        values = self._run(rule.circuit, shifted, shots)
        combine = torch.tensor(rule.combine, dtype=base.dtype, device=base.device)
        slopes = torch.einsum("ap,pkbo->kabo", combine, values)  # of each angle that holds a weight
        with torch.enable_grad():
            outputs = centre.detach().requires_grad_()
            total = self.losses_of(outputs.unsqueeze(0)).sum()
            (upstream,) = torch.autograd.grad(total, outputs)
        by_angle = torch.einsum("kabo,kbo->kab", slopes, upstream)
        found = torch.einsum("kab,kabm->km", by_angle, rule.jacobian(view.inputs, base))
        return found[:, torch.tensor(view.trained, device=found.device)]

    def _all(self, trained: Tensor) -> Tensor:
        """Returns all weights of the circuit, (..., m), from the trained ones, (..., w)."""
        found = trained.new_zeros(*trained.shape[:-1], self.view.circuit.n_weights)
        found[..., list(self.view.trained)] = trained
        return found

    def _inputs(self, points: int) -> Tensor:
        return self.view.inputs.expand(points, -1, -1, -1)

    def _run(self, circuit: Circuit, weights_PKm: Tensor, shots: int | None) -> Tensor:
        with torch.no_grad():
            inputs, executor = self._inputs(len(weights_PKm)), self.view.executor
            if shots is None:
                return expectations(circuit, inputs, weights_PKm, executor, check_finite=False)
            found = inputs.new_zeros(*inputs.shape[:3], circuit.n_observables)
            for client, (generator, samples) in enumerate(zip(self.generators, self._samples(), strict=True)):
                found[:, client, :samples] = expectations(
                    circuit,
                    inputs[:, client, :samples],
                    weights_PKm[:, client],
                    executor,
                    shots=shots,
                    generator=generator,
                    check_finite=False,
                )
            return found

    def _samples(self) -> list[int]:
        """Returns how many samples each client has; padding is not measured and draws nothing."""
        return [int(count) for count in self._mask.sum(1).tolist()]

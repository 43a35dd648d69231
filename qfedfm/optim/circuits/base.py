"""What optimizers of circuit weights share. Shapes: K = clients, w = trained circuit weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from qfedfm.optim.circuits.landscape import Landscape


class CircuitOptimizer(torch.optim.Optimizer):
    """Descent along :meth:`direction` with momentum; methods override what they change.

    Args:
        params: One leaf, the trained weights of a circuit, (K, w) or (w,).
        lr: Learning rate.
        momentum: Of the directions.
        options: Further options, kept in the parameter group.
    """

    def __init__(self, params: Iterable[Tensor], lr: float, momentum: float = 0.0, **options: Any) -> None:
        weights = list(params)
        if len(weights) != 1 or weights[0].dim() not in (1, 2):
            raise ValueError("an optimizer of circuit weights takes one tensor, (K, w) or (w,)")
        super().__init__(weights, {"lr": lr, "momentum": momentum, **options})

    @property
    def weights(self) -> Tensor:
        """The leaf, (K, w) or (w,)."""
        leaf: Tensor = self.param_groups[0]["params"][0]
        return leaf

    def option(self, name: str) -> Any:
        """Returns an option of the parameter group."""
        return self.param_groups[0][name]

    def observe(self, landscape: Landscape) -> None:
        """Evaluates what ``step`` needs besides the gradient, at the weights as they are.

        Args:
            landscape: The batch at hand as a function of circuit weights.
        """

    def direction(self, gradient_Kw: Tensor) -> Tensor:
        """Returns what is subtracted times the learning rate, (K, w)."""
        return gradient_Kw

    def rate(self, state: dict[str, Any]) -> float:
        """Returns the learning rate of this step."""
        return float(self.option("lr"))

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Moves the weights; a leaf without gradient stays where it is."""
        leaf = self.weights
        if leaf.grad is None:
            return
        state = self.state[leaf]
        moved = self.direction(leaf.grad.reshape(-1, leaf.shape[-1]))
        momentum = float(self.option("momentum"))
        if momentum:
            velocity = state.get("momentum_buffer")
            moved = moved if velocity is None else momentum * velocity + moved
            state["momentum_buffer"] = moved.clone()
        leaf.sub_(moved.reshape(leaf.shape), alpha=self.rate(state))


def set_gradient(leaf: Tensor, gradient_Kw: Tensor) -> None:
    """Puts an estimate in the place of the leaf's gradient."""
    leaf.grad = gradient_Kw.to(leaf.dtype).reshape(leaf.shape).clone()


def signs(generators: Iterable[torch.Generator], shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Returns independent ±1, each with probability ½, (K, *shape), a row from each generator."""
    rows = [torch.randint(2, shape, generator=generator) for generator in generators]
    return (2 * torch.stack(rows) - 1).to(like)

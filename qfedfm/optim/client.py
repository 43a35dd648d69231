"""Client optimizers: those of torch for all that is trained, or one for the circuit beside one for the rest.

An optimizer of circuit weights (:mod:`qfedfm.optim.circuits`) moves the tensor :data:`CIRCUIT_WEIGHTS`
alone; its option ``rest`` is the ordinary optimizer of everything else. All of them keep a leading client
axis, so K clients take a step in one call.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, cast

from pydantic import Field

from qfedfm.core.errors import RequestError
from qfedfm.optim.circuits.options import (
    CircuitOptimizerConfig,
    ParameterShiftConfig,
    QngConfig,
    QnSpsaConfig,
    RotosolveConfig,
    SpsaConfig,
)
from qfedfm.optim.ordinary import (
    AdagradConfig,
    AdamConfig,
    AdamWConfig,
    OrdinaryConfig,
    RMSpropConfig,
    SGDConfig,
    optimizer_class,
)

if TYPE_CHECKING:
    import torch

    from qfedfm.optim.circuits.base import CircuitOptimizer

CIRCUIT_WEIGHTS = "head/circuit.weights"
"""The name of the trained weights of a head's circuit."""

OptimizerConfig = Annotated[
    SGDConfig
    | AdamConfig
    | AdamWConfig
    | AdagradConfig
    | RMSpropConfig
    | QngConfig
    | QnSpsaConfig
    | SpsaConfig
    | RotosolveConfig
    | ParameterShiftConfig,
    Field(discriminator="kind"),
]

__all__ = [
    "CIRCUIT_WEIGHTS",
    "AdagradConfig",
    "AdamConfig",
    "AdamWConfig",
    "OptimizerConfig",
    "OrdinaryConfig",
    "RMSpropConfig",
    "SGDConfig",
    "make_optimizer",
    "make_optimizers",
]


def make_optimizer(
    config: OrdinaryConfig, parameters: Iterable[torch.Tensor], scale: float = 1.0
) -> torch.optim.Optimizer:
    """Returns the torch optimizer that ``config`` names.

    Args:
        config: Which one, with its options.
        parameters: Leaf tensors that require gradients.
        scale: A factor on the learning rate (the schedule over rounds).
    """
    options = config.model_dump(exclude={"kind"})
    options["lr"] = options["lr"] * scale
    if config.kind in ("adam", "adamw"):
        options["fused"] = True  # one pass over the numbers; the arithmetic is the same
    return _eager(optimizer_class(config.kind))(list(parameters), **options)  # type: ignore[arg-type]


def make_optimizers(
    config: OptimizerConfig, leaves: Mapping[str, torch.Tensor], scale: float = 1.0
) -> tuple[list[torch.optim.Optimizer], CircuitOptimizer | None]:
    """Returns the optimizers that together move all leaves that require gradients.

    Args:
        config: Which one, with its options.
        leaves: Leaf tensors by name, all with a client axis or all without.
        scale: A factor on the learning rates (the schedule over rounds).

    Returns:
        The optimizers in the order of their steps, and the circuit's among them, or None where the circuit
        has none of its own or its weights are not trained now.

    Raises:
        RequestError: If ``config`` is an optimizer of circuit weights and there are none.
    """
    trained = {name: leaf for name, leaf in leaves.items() if leaf.requires_grad}
    if not isinstance(config, CircuitOptimizerConfig):
        return [make_optimizer(config, trained.values(), scale)], None
    if CIRCUIT_WEIGHTS not in leaves:
        raise RequestError(
            f"client.optimizer {config.kind} trains the weights of a circuit, and the head has none; use "
            "model.head {kind: quantum}, or an ordinary optimizer such as adamw"
        )
    optimizers: list[torch.optim.Optimizer] = []
    circuit: CircuitOptimizer | None = None
    if CIRCUIT_WEIGHTS in trained:
        kind, options = config.optimizer()
        eager = _eager(kind)  # type: ignore[arg-type]
        circuit = cast("CircuitOptimizer", eager([trained.pop(CIRCUIT_WEIGHTS)], **options))
        for group in circuit.param_groups:
            group["lr"] *= scale
        optimizers.append(circuit)
    if trained:
        optimizers.append(make_optimizer(config.rest, trained.values(), scale))
    return optimizers, circuit


@lru_cache
def _eager(kind: type[torch.optim.Optimizer]) -> type[torch.optim.Optimizer]:
    """Returns an optimizer without torch's hooks for ``torch.compile``.

    The first call of a hooked method imports ``torch._dynamo`` (1 to 2 s, more than a small run takes) only
    to keep itself from being compiled; nothing here is compiled. The arithmetic is its own.
    """
    import torch

    update = inspect.unwrap(kind.step)

    @torch.no_grad()
    def step(self: Any, closure: None = None) -> None:
        update(self)

    step.hooked = True  # type: ignore[attr-defined]  # torch would wrap it for its profiler
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in ("add_param_group", "zero_grad")}
    return type(kind.__name__, (kind,), {"step": step, **methods})

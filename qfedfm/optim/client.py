"""Client optimizers: the ones of torch, by name.

All of them act on each number by itself, so that the parameters of many clients with a leading
client axis are updated in one call, exactly as each client would have done alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from qfedfm.core.config import Config

if TYPE_CHECKING:
    import torch

Rate = Annotated[float, Field(gt=0)]
Decay = Annotated[float, Field(ge=0)]
Beta = Annotated[float, Field(ge=0, lt=1)]


class SGDConfig(Config):
    """Stochastic gradient descent, torch.optim.SGD."""

    kind: Literal["sgd"] = "sgd"
    lr: Rate = 0.1
    momentum: Beta = 0.0
    weight_decay: Decay = 0.0
    nesterov: bool = False


class AdamConfig(Config):
    """Adam, torch.optim.Adam (Kingma and Ba, 2015, arXiv:1412.6980)."""

    kind: Literal["adam"] = "adam"
    lr: Rate = 1e-3
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    eps: Rate = 1e-8
    weight_decay: Decay = 0.0


class AdamWConfig(Config):
    """AdamW, torch.optim.AdamW (Loshchilov and Hutter, 2019, arXiv:1711.05101)."""

    kind: Literal["adamw"] = "adamw"
    lr: Rate = 1e-3
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    eps: Rate = 1e-8
    weight_decay: Decay = 0.01


class AdagradConfig(Config):
    """Adagrad, torch.optim.Adagrad (Duchi et al., 2011)."""

    kind: Literal["adagrad"] = "adagrad"
    lr: Rate = 1e-2
    weight_decay: Decay = 0.0
    eps: Rate = 1e-10


class RMSpropConfig(Config):
    """RMSprop, torch.optim.RMSprop (Tieleman and Hinton, 2012)."""

    kind: Literal["rmsprop"] = "rmsprop"
    lr: Rate = 1e-3
    alpha: Beta = 0.99
    eps: Rate = 1e-8
    weight_decay: Decay = 0.0
    momentum: Beta = 0.0


OptimizerConfig = Annotated[
    SGDConfig | AdamConfig | AdamWConfig | AdagradConfig | RMSpropConfig, Field(discriminator="kind")
]


def make_optimizer(
    config: OptimizerConfig, parameters: Iterable[torch.Tensor], scale: float = 1.0
) -> torch.optim.Optimizer:
    """Returns the torch optimizer that ``config`` names.

    Args:
        config: Which one, with its options.
        parameters: Leaf tensors that require gradients.
        scale: A factor on the learning rate (the schedule over rounds).
    """
    import torch

    classes: dict[str, type[torch.optim.Optimizer]] = {
        "sgd": torch.optim.SGD,
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
        "adagrad": torch.optim.Adagrad,
        "rmsprop": torch.optim.RMSprop,
    }
    options = config.model_dump(exclude={"kind"})
    options["lr"] = options["lr"] * scale
    if config.kind in ("adam", "adamw"):
        options["fused"] = True  # one pass over the numbers; the arithmetic is the same
    return _eager(classes[config.kind])(list(parameters), **options)  # type: ignore[arg-type]


@lru_cache
def _eager(kind: type[torch.optim.Optimizer]) -> type[torch.optim.Optimizer]:
    """Returns torch's optimizer without its hooks for ``torch.compile``.

    The first call of a hooked method imports ``torch._dynamo`` (1 to 2 s, more than a small run takes) only
    to keep itself from being compiled; nothing here is compiled. The arithmetic is torch's own.
    """
    import torch

    update = inspect.unwrap(kind.step)

    @torch.no_grad()
    def step(self: Any, closure: None = None) -> None:
        update(self)

    step.hooked = True  # type: ignore[attr-defined]  # torch would wrap it for its profiler
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in ("add_param_group", "zero_grad")}
    return type(kind.__name__, (kind,), {"step": step, **methods})

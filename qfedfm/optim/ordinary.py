"""The optimizers of torch, by name.

All of them act on each number by itself, so that the parameters of many clients with a leading
client axis are updated in one call, exactly as each client would have done alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from qfedfm.core.config import Config
from qfedfm.optim.options import Beta, Decay, Rate

if TYPE_CHECKING:
    import torch


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


OrdinaryConfig = Annotated[
    SGDConfig | AdamConfig | AdamWConfig | AdagradConfig | RMSpropConfig, Field(discriminator="kind")
]


def optimizer_class(kind: str) -> type[torch.optim.Optimizer]:
    """Returns torch's class of an ordinary optimizer."""
    import torch

    classes: dict[str, type[torch.optim.Optimizer]] = {
        "sgd": torch.optim.SGD,
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
        "adagrad": torch.optim.Adagrad,
        "rmsprop": torch.optim.RMSprop,
    }
    return classes[kind]

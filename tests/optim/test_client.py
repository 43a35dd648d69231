"""Client optimizers take torch's own steps, to the bit, without torch.compile's machinery."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from qfedfm.optim.client import (
    AdagradConfig,
    AdamConfig,
    AdamWConfig,
    RMSpropConfig,
    SGDConfig,
    make_optimizer,
)

PAIRS = [
    (SGDConfig(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01), torch.optim.SGD),
    (AdamConfig(lr=0.1), torch.optim.Adam),
    (AdamWConfig(lr=0.1, weight_decay=0.1), torch.optim.AdamW),
    (AdagradConfig(lr=0.1), torch.optim.Adagrad),
    (RMSpropConfig(lr=0.1, momentum=0.5), torch.optim.RMSprop),
]


def trajectory(make):
    weights = torch.linspace(-1.0, 2.0, 7).requires_grad_()
    optimizer = make([weights])
    for _ in range(4):
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward((weights**4).sum())
        optimizer.step()
    assert weights.requires_grad and torch.is_grad_enabled()
    return weights.detach()


@pytest.mark.parametrize(("config", "kind"), PAIRS, ids=lambda value: getattr(value, "kind", ""))
def test_the_steps_are_those_of_torch(config, kind):
    options = config.model_dump(exclude={"kind"})
    assert torch.equal(
        trajectory(lambda parameters: make_optimizer(config, parameters)),
        trajectory(lambda parameters: kind(parameters, **options)),
    )


def test_the_schedule_scales_the_rate():
    optimizer = make_optimizer(SGDConfig(lr=0.5), [torch.zeros(1, requires_grad=True)], 0.25)
    assert optimizer.param_groups[0]["lr"] == 0.125


def test_nothing_of_torch_compile_is_loaded():
    code = (
        "import sys, torch\n"
        "from qfedfm.optim.client import AdamWConfig, make_optimizer\n"
        "w = torch.ones(3, requires_grad=True)\n"
        "optimizer = make_optimizer(AdamWConfig(), [w])\n"
        "torch.autograd.backward(w.sum())\n"
        "optimizer.step()\n"
        "optimizer.zero_grad()\n"
        "print('torch._dynamo' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

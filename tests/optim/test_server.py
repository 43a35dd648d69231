"""Server optimizers against hand-computed steps (Reddi et al., 2021, Algorithm 2)."""

from __future__ import annotations

import math

import pytest
import torch

from qfedfm.optim.server import FedAdagrad, FedAdam, FedAvgM, FedAvgStep, FedYogi

W = torch.tensor([1.0])


def two_steps(optimizer, deltas=(0.2, -0.1)):
    state, vector = optimizer.init(W), W
    for delta in deltas:
        vector, state = optimizer.step(state, vector, torch.tensor([delta]))
    return vector.item()


def test_fedavg_adds_the_delta():
    assert two_steps(FedAvgStep()) == pytest.approx(1.1)
    assert two_steps(FedAvgStep(lr=0.5)) == pytest.approx(1.05)


def test_fedavgm():
    assert two_steps(FedAvgM(momentum=0.9)) == pytest.approx(1 + 0.2 + (0.9 * 0.2 - 0.1))


@pytest.mark.parametrize("optimizer", [FedAdam(lr=0.1), FedYogi(lr=0.1), FedAdagrad(lr=0.1)])
def test_adaptive(optimizer):
    m, v, w = 0.0, 1e-3**2, 1.0
    for delta in (0.2, -0.1):
        m = 0.9 * m + 0.1 * delta
        square = delta**2
        if optimizer.kind == "fedadam":
            v = 0.99 * v + 0.01 * square
        elif optimizer.kind == "fedyogi":
            v = v - 0.01 * square * math.copysign(1, v - square)
        else:
            v = v + square
        w += 0.1 * m / (math.sqrt(v) + 1e-3)
    assert two_steps(optimizer) == pytest.approx(w, rel=1e-5)


@pytest.mark.parametrize("optimizer", [FedAvgStep(), FedAvgM(), FedAdam(), FedYogi(), FedAdagrad()])
def test_steps_are_pure(optimizer):
    state = optimizer.init(W)
    before = {name: tensor.clone() for name, tensor in state.items()}
    optimizer.step(state, W, torch.tensor([0.3]))
    assert W.item() == 1.0
    assert all(torch.equal(state[name], before[name]) for name in before)

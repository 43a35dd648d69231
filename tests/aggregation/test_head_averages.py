"""Circular means of angles, and projections aligned before they are averaged."""

from __future__ import annotations

import math

import pytest
import torch

from qfedfm.aggregation import Cohort, FedAvg
from qfedfm.aggregation.heads import aligned_mean, circular_mean
from qfedfm.core.tensors import Layout


def test_the_circular_mean_by_hand():
    p = torch.tensor([0.5, 0.5]).double()
    angles = torch.tensor([[math.pi - 0.1, 0.3], [-math.pi + 0.3, 0.5]]).double()
    start = torch.tensor([3.0, 0.0]).double()
    mean = circular_mean(angles, start, p, 2 * math.pi)
    torch.testing.assert_close(mean, torch.tensor([math.pi + 0.1, 0.4]).double())
    wide = circular_mean(angles, start, p, 4 * math.pi)  # a controlled rotation: a turn is not nothing
    assert wide[0] == pytest.approx(0.1, abs=1e-6)


def test_a_mean_without_direction_stays_where_it_was():
    p = torch.tensor([0.5, 0.5]).double()
    angles = torch.tensor([[math.pi / 2], [-math.pi / 2]]).double()
    mean = circular_mean(angles, torch.tensor([0.0]).double() + math.pi, p, 2 * math.pi)
    assert mean.item() == pytest.approx(math.pi)


def test_close_angles_have_their_plain_mean_to_second_order():
    p = torch.tensor([0.3, 0.7]).double()
    angles = torch.tensor([[0.02, -0.01], [0.01, 0.03]]).double()
    torch.testing.assert_close(
        circular_mean(angles, torch.zeros(2).double(), p, 2 * math.pi), p @ angles, atol=1e-6, rtol=0
    )


def test_projections_that_are_rotations_of_one_are_that_one():
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(3, 10, generator=generator).double()
    turns = [torch.linalg.qr(torch.randn(3, 3, generator=generator).double()).Q for _ in range(4)]
    rotated = torch.stack([turn @ start for turn in turns])
    p = torch.full((4,), 0.25).double()
    torch.testing.assert_close(aligned_mean(rotated, start, p), start)
    assert torch.einsum("k,kqD->qD", p, rotated).norm() < 0.9 * start.norm()


def test_the_options_act_on_their_tensors_only():
    layout = Layout(
        (("head/projection.weight", (2, 4)), ("head/circuit.weights", (3,)), ("head/output.bias", (2,)))
    )
    generator = torch.Generator().manual_seed(1)
    cohort = Cohort(
        clients=(0, 1),
        delta_KD=3 * torch.randn(2, 13, generator=generator),
        examples=(1, 2),
        layout=layout,
        start=torch.randn(13, generator=generator),
    )
    plain = layout.view(FedAvg().combine({}, cohort)[0].delta)
    for options, name in (
        ({"angles": "circular"}, "circuit.weights"),
        ({"projection": "aligned"}, "projection.weight"),
    ):
        rule = FedAvg(**options)
        bent = layout.view(rule.combine({}, cohort)[0].delta)
        changed = [n for n in layout.names if not torch.equal(plain[n], bent[n])]
        assert changed == [f"head/{name}"]
        assert rule.sees == "individuals" and FedAvg().sees == "sum"

"""Golden numbers of client methods and stages, worked out by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from qfedfm.aggregation import Cohort, Combined
from qfedfm.core.errors import UpdateRefusedError
from qfedfm.core.random import Streams
from qfedfm.core.tensors import Layout
from qfedfm.core.update import Update
from qfedfm.federation.algorithms import Ditto, FedDyn, FedNova, LocalParts, PFedMe, RankDecay
from qfedfm.federation.stages import Clip, Quantize, TopK
from qfedfm.federation.stages.chain import pack, unpack
from qfedfm.optim.client import SGDConfig

sys.path.insert(0, str(Path(__file__).parents[1] / "federation"))
from quadratic import Quadratic

LAYOUT = Layout((("w", (2, 3)), ("b", (1,))))


def update(values) -> Update:
    return Update(1, 0, 3, LAYOUT.view(torch.tensor(values, dtype=torch.float32)), LAYOUT.schema)


def test_fednova():
    nova = FedNova()
    assert nova.lengths(torch.tensor([1.0, 3.0]), SGDConfig()).tolist() == [1, 3]
    # Momentum ½: velocities 1, 1.5, 1.75; Nesterov's steps 1.5, 1.75, 1.875.
    assert nova.lengths(torch.tensor([3.0]), SGDConfig(momentum=0.5)).item() == pytest.approx(4.25)
    nesterov = SGDConfig(momentum=0.5, nesterov=True)
    assert nova.lengths(torch.tensor([3.0]), nesterov).item() == pytest.approx(5.125)
    cohort = Cohort(
        clients=(0, 1),
        delta_KD=torch.tensor([[1.0], [6.0]]),
        examples=(1, 3),
        layout=Layout((("w", (1,)),)),
        auxiliary={"steps": torch.tensor([[1.0], [3.0]])},
    )
    p = torch.tensor([0.25, 0.75])
    # τ_eff = 0.25 + 2.25 = 2.5; w moves by 2.5 · (0.25 · 1/1 + 0.75 · 6/3) = 4.375.
    assert float(p @ nova.on_cohort(cohort, p).delta_KD[:, 0]) == pytest.approx(4.375)


def test_fednova_with_equal_steps_is_fedavg():
    world = Quadratic([[1.0, 2.0, 3.0, 4.0], [0.0, -1.0, 5.0, 2.0]], 1.0, sizes=(8, 8))
    nova, _, _, _ = world.run({"kind": "fednova"}, 3, steps=4)
    average, _, _, _ = world.run({"kind": "sgd"}, 3, steps=4)
    torch.testing.assert_close(nova.model, average.model)


def test_feddyn():
    dyn = FedDyn(alpha=0.5)
    leaf = torch.tensor([3.0], requires_grad=True)
    leaf.grad = torch.tensor([1.0])
    dyn.correct({"w": leaf}, {"start": {"w": torch.tensor([1.0])}, "h": {"w": torch.tensor([0.25])}})
    assert leaf.grad.item() == pytest.approx(1 + 0.5 * 2 - 0.25)
    _, kept = dyn.finish(torch.tensor([[2.0]]), torch.tensor([1.0]), 0.1, {}, {"h": torch.tensor([[0.25]])})
    assert kept["h"].item() == pytest.approx(0.25 - 1.0)
    cohort = Cohort((0, 1), torch.tensor([[2.0], [4.0]]), (1, 1), Layout((("w", (1,)),)))
    combined, server = dyn.move(Combined(torch.tensor([3.0])), cohort, {"h": torch.tensor([0.1])}, 10)
    # h = 0.1 − 0.5/10 · (2 + 4) = −0.2; the model moves by 3 + 0.2/0.5 = 3.4.
    assert server["h"].item() == pytest.approx(-0.2) and combined.delta.item() == pytest.approx(3.4)


def test_ditto():
    """One step from 0 at rate 0.1: w = 0.1·a; then v from 0 with the pull to the global 0."""
    world = Quadratic([[1.0, 2.0, 3.0, 4.0]], 1.0, sizes=(8,))
    state, _, plan, engine = world.run({"kind": "ditto", "strength": 2.0}, 2, steps=1)
    torch.testing.assert_close(state.model, world.a[0] * (0.1 + 0.9 * 0.1))
    (own,) = engine.personal(plan, state.model, [0])
    # v1 = 0.1 a; v2 = v1 − 0.1 (v1 − a + 2 (v1 − w1)) with w1 = 0.1 a = v1.
    torch.testing.assert_close(own, 0.1 * world.a[0] + 0.1 * 0.9 * world.a[0])
    assert isinstance(Ditto().personal().mu, float)


def test_pfedme():
    """One batch, two inner steps: θ = 0.1a, then 0.1a − 0.1(0.1a − a + 2·0.1a) = 0.17a; w = 0.5·2·0.17a."""
    world = Quadratic([[1.0, 2.0, 3.0, 4.0]], 1.0, sizes=(8,))
    algorithm = {"kind": "pfedme", "strength": 2.0, "rate": 0.5, "inner": 2}
    state, (record,), plan, engine = world.run(algorithm, 1, steps=1)
    (own,) = engine.personal(plan, state.model, [0])
    torch.testing.assert_close(own, 0.17 * world.a[0])
    torch.testing.assert_close(state.model, 0.17 * world.a[0])
    assert record.steps == 2 and PFedMe().repeats == 5


def test_local_parts():
    parts = LocalParts(names=("head/*", "*.lora_B"))
    names = ("head/output.bias", "adapter/x.lora_B", "adapter/x.lora_A")
    assert [parts.keeps(name) for name in names] == [True, True, False]


def test_rank_decay():
    """‖A_t‖ = 5, ‖B_t‖ = 2 on the last row of two: gradients 5/2 · B_t and 2/5 · A_t."""
    down = torch.tensor([[1.0, 0.0], [3.0, 4.0]], requires_grad=True)
    up = torch.tensor([[1.0, 2.0]], requires_grad=True)
    down.grad, up.grad = torch.zeros_like(down), torch.zeros_like(up)
    leaves = {"adapter/x.lora_A": down, "adapter/x.lora_B": up}
    RankDecay(strength=1.0, keep=0.5).correct(leaves, {"start": {"adapter/x.lora_A": down.detach()}})
    assert up.grad.tolist() == [[0.0, 5.0]]
    torch.testing.assert_close(down.grad, torch.tensor([[0.0, 0.0], [1.2, 1.6]]))


def test_topk():
    stage = TopK(fraction=0.4)  # 3 of 7
    sent = stage.on_client(update([1.0, -5.0, 0.0, 2.0, -2.0, 3.0, 2.0]), np.random.default_rng(0))
    assert sent.delta["topk.values"].tolist() == [-5.0, 2.0, 3.0]  # of equals the first
    assert sent.delta["topk.places"].tolist() == [1, 3, 5]
    assert stage.unpack(sent, LAYOUT).delta.vector.tolist() == [0, -5, 0, 2, 0, 3, 0]
    assert TopK(fraction=0.001).count(7) == 1


def test_topk_keeps_what_it_did_not_send():
    stages, streams = [TopK(fraction=0.15)], Streams(0)  # 1 of 7
    sent, memory = pack(stages, update([1.0, 3.0, 0, 0, 0, 0, 2.0]), streams, {})
    assert unpack(stages, sent, LAYOUT).delta.vector.tolist() == [0, 3, 0, 0, 0, 0, 0]
    assert memory["w"].tolist() == [[1, 0, 0], [0, 0, 0]] and memory["b"].tolist() == [2]
    sent, memory = pack(stages, update([0.5, 0.5, 0, 0, 0, 0, 2.0]), streams, memory)
    assert unpack(stages, sent, LAYOUT).delta.vector.tolist() == [0, 0, 0, 0, 0, 0, 4]
    assert memory["w"].tolist() == [[1.5, 0.5, 0], [0, 0, 0]] and memory["b"].tolist() == [0]


@pytest.mark.parametrize("bits", [8, 4])
def test_quantize(bits):
    stage = Quantize(bits=bits)
    top = stage.largest
    assert top == {8: 127, 4: 7}[bits]
    values = [float(top), -float(top), 0.4, 0.6, -1.0, 3.0, 0.25]
    sent = stage.on_client(update(values), np.random.default_rng(0))
    assert sent.delta["w|scale"].tolist() == [1.0]
    found = stage.unpack(sent, LAYOUT).delta.vector.tolist()
    assert found[:6] == [top, -top, 0, 1, -1, 3] and found[6] == pytest.approx(0.25)
    assert sent.delta["w|codes"].numel() == (6 if bits == 8 else 3)


def test_stochastic_rounding_is_right_in_the_mean():
    stage, layout = Quantize(bits=4, rounding="stochastic"), Layout((("w", (20001,)),))
    vector = torch.full((20001,), 0.3)
    vector[0] = 7.0
    sent = stage.on_client(Update(0, 0, 1, layout.view(vector), layout.schema), np.random.default_rng(1))
    found = stage.unpack(sent, layout).delta.vector
    assert set(found[1:].tolist()) == {0.0, 1.0}
    assert float(found[1:].mean()) == pytest.approx(0.3, abs=0.01)


def test_a_row_of_stages_and_its_bytes():
    stages = [Clip(norm=1.0), TopK(fraction=0.4), Quantize(bits=4)]
    sent, memory = pack(stages, update([1.0, -5.0, 0.0, 2.0, -2.0, 3.0, 2.0]), Streams(0), {})
    assert set(sent.delta) == {"topk.values|scale", "topk.values|codes", "topk.places"}
    assert sent.delta["topk.values|codes"].numel() == 2
    arrived = unpack(stages, Update.from_bytes(sent.to_bytes()), LAYOUT).delta
    assert [i for i, v in enumerate(LAYOUT.flatten(arrived).tolist()) if v] == [1, 3, 5]
    clipped = Clip(norm=1.0).on_client(
        update([1.0, -5.0, 0.0, 2.0, -2.0, 3.0, 2.0]), np.random.default_rng(0)
    )
    torch.testing.assert_close(
        LAYOUT.flatten(memory) + LAYOUT.flatten(arrived), LAYOUT.flatten(clipped.delta)
    )
    large = Layout((("w", (10_000,)),))
    whole = Update(0, 0, 1, large.view(torch.randn(10_000)), large.schema)
    packed, _ = pack([Quantize(bits=8)], whole, Streams(0), {})
    assert len(packed.to_bytes()) < 0.3 * len(whole.to_bytes())
    packed, _ = pack([Quantize(bits=4)], whole, Streams(0), {})
    assert len(packed.to_bytes()) < 0.16 * len(whole.to_bytes())


@pytest.mark.parametrize(
    "delta",
    [
        {"topk.values": torch.ones(3), "topk.places": torch.tensor([0, 1, 7], dtype=torch.int32)},
        {"topk.values": torch.ones(3), "topk.places": torch.tensor([2, 1, 3], dtype=torch.int32)},
        {"topk.values": torch.ones(3), "topk.places": torch.tensor([-1, 1, 3], dtype=torch.int32)},
        {"topk.values": torch.ones(2), "topk.places": torch.tensor([1, 3], dtype=torch.int32)},
        {"topk.values": torch.ones(3), "topk.places": torch.tensor([1, 2, 3])},
        {"topk.values": torch.ones(3)},
    ],
)
def test_malformed_topk_is_refused(delta):
    with pytest.raises(UpdateRefusedError):
        unpack([TopK(fraction=0.4)], Update(0, 0, 1, delta, LAYOUT.schema), LAYOUT)


@pytest.mark.parametrize(
    "delta",
    [
        {"w|codes": torch.zeros(6, dtype=torch.int8)},
        {"w|scale": torch.ones(1), "w|codes": torch.zeros(5, dtype=torch.int8)},
        {"w|scale": torch.ones(1), "w|codes": torch.zeros(6)},
        {"w|scale": torch.ones(2), "w|codes": torch.zeros(6, dtype=torch.int8)},
    ],
)
def test_malformed_codes_are_refused(delta):
    with pytest.raises(UpdateRefusedError):
        unpack([Quantize()], Update(0, 0, 1, delta, LAYOUT.schema), LAYOUT)

"""A channel around an engine: clients get what they need, a message is made once, the model is the same."""

from __future__ import annotations

import pytest
import torch
from lora_world import LoraWorld

from qfedfm.aggregation import FedIT, FedSALora, FFALora, FLora, HetLora, RoLora
from qfedfm.core.random import Streams
from qfedfm.core.update import Update
from qfedfm.federation.engines.sealed import SealedEngine
from qfedfm.federation.messages import Broadcast
from qfedfm.federation.stages import Quantize
from qfedfm.security.channel import ChannelConfig
from qfedfm.security.channel.links import Measured
from qfedfm.security.channel.rounds import Channel

CASES = [
    (FedIT(), {}),
    (FFALora(), {}),
    (RoLora(), {"federation": {"cohort": 2}}),
    (FLora(), {"federation": {"cohort": 2, "sampler": {"kind": "cyclic"}}}),
    (FedSALora(), {}),
    (HetLora(), {"ranks": (1, 4, 2, 3)}),
    (FFALora(), {"stages": (Quantize(bits=8),)}),
]


@pytest.fixture
def sealed(monkeypatch):
    """Returns a function from an engine to the same behind one-time pads, and its channel."""
    monkeypatch.setattr(
        "qfedfm.security.channel.links.measure", lambda *_: Measured(1e6, 1.0, 10**7, None, 0.01)
    )

    def around(engine):
        channel = Channel(ChannelConfig.model_validate({"kind": "qkd", "cipher": "otp"}), Streams(0))
        return SealedEngine(engine, channel), channel

    return around


@pytest.mark.parametrize(("rule", "options"), CASES, ids=lambda case: getattr(case, "kind", ""))
def test_key_bits_are_those_of_the_bytes_that_an_unsealed_round_counts(rule, options, sealed):
    world = LoraWorld()
    plan = world.plan(rule, **options)
    plain, records = world.run(plan, 4)
    bare = world.engine()
    engine, channel = sealed(bare)
    engine._model = bare._model
    state = None
    for record in records:
        state, (line,) = world.run(plan, 1, engine, state)
        assert line == record
        spent = channel.end_round(line.round - 1)
        messages = len(line.cohort) + len(line.participants)
        travelled = line.upload_bytes + line.download_bytes
        assert spent["key_bits_used"] == 8 * travelled + 256 * messages
        assert spent["channel_bytes"] == 36 * messages
    assert torch.equal(state.model, plain.model)


def test_every_message_is_serialised_once(sealed, monkeypatch):
    made = {Update: 0, Broadcast: 0}
    for kind in made:
        whole = kind.to_bytes

        def count(self, *arguments, kind=kind, whole=whole, **options):
            made[kind] += 1
            return whole(self, *arguments, **options)

        monkeypatch.setattr(kind, "to_bytes", count)
    world = LoraWorld()
    plan, bare = world.plan(FLora(), federation={"cohort": 3}), world.engine()
    engine, _ = sealed(bare)
    engine._model = bare._model
    world.run(plan, 1, engine)
    # Every client receives the same first model; its length is measured once more by the counter.
    assert made == {Update: 3, Broadcast: 2}

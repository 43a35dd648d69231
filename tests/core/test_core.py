"""Streams, tensors, metrics, updates, files."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qfedfm.core.errors import UpdateRefusedError
from qfedfm.core.files import write_atomic
from qfedfm.core.metrics import Metrics
from qfedfm.core.random import Streams
from qfedfm.core.tensors import Layout
from qfedfm.core.update import Update


def test_streams_depend_on_seed_and_path_alone():
    a = Streams(7).at("round", 3)("cohort").integers(1 << 40, size=4)
    b = Streams(7).at("round").at(3)("cohort").integers(1 << 40, size=4)
    assert np.array_equal(a, b)
    different = [
        Streams(8).at("round", 3)("cohort"),
        Streams(7).at("round", 4)("cohort"),
        Streams(7)("cohort"),
    ]
    assert all(not np.array_equal(a, rng.integers(1 << 40, size=4)) for rng in different)
    assert not np.array_equal(Streams(7)("ab", "c").random(3), Streams(7)("a", "bc").random(3))
    assert not np.array_equal(Streams(7)("1").random(3), Streams(7)(1).random(3))


def test_streams_are_pinned():
    """A change of these numbers changes every result: raise RESULTS_VERSION with it."""
    assert Streams(7).integer("x") == 9073363839257262527
    assert torch.equal(
        torch.rand(2, generator=Streams(7).torch("x")), torch.rand(2, generator=Streams(7).torch("x"))
    )


@given(st.lists(st.lists(st.integers(0, 3), max_size=3), max_size=4))
def test_layout_round_trip(shapes):
    layout = Layout(tuple((f"t{i}", tuple(shape)) for i, shape in enumerate(shapes)))
    vector = torch.arange(layout.size, dtype=torch.float32)
    assert torch.equal(layout.flatten(layout.view(vector)), vector)
    batch = vector.expand(2, -1).clone()
    assert torch.equal(layout.flatten(layout.view(batch)) if shapes else batch, batch)


def test_schema_depends_on_names_shapes_and_order():
    a, b = ("a", (2,)), ("b", (3,))
    schemas = {Layout(e).schema for e in ((a, b), (b, a), (a, ("b", (3, 1))), (("c", (2,)), b))}
    assert len(schemas) == 4


def test_metrics_add_up_like_one_set_of_examples():
    total = Metrics.total([Metrics.of(loss=(6.0, 3)), Metrics.of(loss=(2.0, 1), accuracy=(1, 2))])
    assert total.means() == {"loss": 2.0, "accuracy": 0.5}


def make(**changes) -> Update:
    layout = Layout((("a", (2, 2)), ("b", (3,))))
    fields = {
        "client": 3,
        "round": 5,
        "examples": 17,
        "delta": layout.view(torch.randn(7, generator=Streams(1).torch())),
        "schema": layout.schema,
        "auxiliary": {"control": torch.ones(7)},
        "metrics": Metrics.of(loss=(1.25, 4)),
    }
    return Update(**(fields | changes))


def test_an_update_survives_the_wire():
    update = make()
    back = Update.from_bytes(update.to_bytes())
    assert (back.client, back.round, back.examples, back.schema, back.nonce) == (
        3, 5, 17, update.schema, update.nonce,
    )  # fmt: skip
    assert back.metrics == update.metrics
    assert all(torch.equal(back.delta[name], update.delta[name]) for name in update.delta)
    assert torch.equal(back.auxiliary["control"], update.auxiliary["control"])


def test_the_size_of_a_message_depends_on_the_schema_alone():
    sizes = {
        len(make(client=c, round=r, examples=e, metrics=Metrics.of(loss=(x, 4))).to_bytes())
        for c, r, e, x in ((0, 0, 1, 0.1), (99999, 123, 5000, -1e300), (7, 9, 3, 1 / 3))
    }
    assert len(sizes) == 1


@pytest.mark.parametrize(
    "message", [b"", b"\x80\x04K\x01.", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      ", b"x" * 50]
)
def test_garbage_is_refused_with_a_typed_error(message):
    with pytest.raises(UpdateRefusedError):
        Update.from_bytes(message)


def test_a_wrong_header_is_refused():
    from safetensors.torch import save

    with pytest.raises(UpdateRefusedError, match="header"):
        Update.from_bytes(save({"delta/a": torch.zeros(1)}, metadata={"format": "other"}))
    good = make().to_bytes()
    header = json.loads(good[8 : 8 + int.from_bytes(good[:8], "little")])["__metadata__"]
    for key, value in (("round", "x"), ("metrics", "[1]"), ("metrics", '{"loss": 1}')):
        with pytest.raises(UpdateRefusedError, match="malformed"):
            Update.from_bytes(save({"delta/a": torch.zeros(1)}, metadata=header | {key: value}))
    with pytest.raises(UpdateRefusedError, match="no known group"):
        Update.from_bytes(save({"other/a": torch.zeros(1)}, metadata=header))


def test_atomic_files_leave_nothing_half_written(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "file.txt"
    write_atomic(path, "one")
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        write_atomic(path, "two")
    assert path.read_text() == "one"
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]


def test_a_stream_is_philox_under_the_first_half_of_its_key() -> None:
    streams = Streams(7).at("round", 3)
    key = int.from_bytes(streams.key("cohort")[:16], "big")
    same = np.random.Generator(np.random.Philox(key=key))
    assert np.array_equal(streams("cohort").integers(0, 2**63, 9), same.integers(0, 2**63, 9))
    assert np.array_equal(
        streams("cohort").random(5), np.random.Generator(np.random.Philox(key=key)).random(5)
    )

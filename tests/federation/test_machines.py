"""Clients on other machines: the same model to the bit, whatever travels and however."""

from __future__ import annotations

import pickle

import pytest
from machines import Misbehaving, config, head, lines, machines, refusals, run_local, run_remote, with_update

from qfedfm.core.errors import RequestError, RunError
from qfedfm.core.tensors import Layout
from qfedfm.core.update import Update
from qfedfm.federation.engines.flower.transport import Arrival
from qfedfm.federation.engines.flower.wire import UPDATE, Envelope, parse

CASES = {
    "sgd": {},
    "scaffold with faults": {
        "client": {"algorithm": {"kind": "scaffold"}},
        "federation": {"cohort": 3, "faults": {"dropout": 0.3, "straggler": 0.3}},
    },
    "kept momenta, compressed": {
        "client": {"optimizer": {"kind": "adamw", "lr": 0.01}, "keep_optimizer_state": True},
        "stages": [{"kind": "topk", "fraction": 0.3}, {"kind": "quantize"}],
    },
    "fedadam and ditto": {
        "client": {"algorithm": {"kind": "ditto"}},
        "federation": {"server_optimizer": {"kind": "fedadam", "lr": 0.05}},
    },
}
FREE = ("download_bytes", "left")


@pytest.mark.parametrize("name", CASES)
def test_machines_give_the_model_of_one_process(name, tmp_path):
    changes = CASES[name]
    there = run_remote(tmp_path / "remote" / "run", changes=changes)
    here = run_local(tmp_path / "local", changes)
    assert head(there) == head(here)
    for a, b in zip(lines(there), lines(here), strict=True):
        assert {k: v for k, v in a.items() if k not in FREE} == {k: v for k, v in b.items() if k not in FREE}


LINK = {"preset": "modern_fibre", "distance_km": 10, "block": 50_000}
CHANNELS = [
    {"kind": "qkd", **LINK},
    {"kind": "hybrid", **LINK},
    {"kind": "ml-kem", "identity": "ml-dsa"},
    {"kind": "x25519", "directions": "upload"},
    {"kind": "qkd", **LINK, "eve": {"kind": "intercept_resend"}, "on_shortage": "fallback"},
]


@pytest.mark.parametrize("channel", CHANNELS, ids=lambda c: f"{c['kind']}-{len(c)}")
def test_a_channel_changes_no_bit_of_the_model(channel, tmp_path):
    there = run_remote(tmp_path / "remote" / "run", changes={"security": {"channel": channel}})
    assert head(there) == head(run_local(tmp_path / "local"))
    for line in lines(there)[1:]:
        assert line["refused"] == [] and line["participants"] == [0, 1, 2, 3]
        expected = {"qkd": 512 * 4, "hybrid": 256 * 4}.get(channel["kind"], 0)
        assert line["key_bits_used"] == (0 if "eve" in channel else expected)


@pytest.mark.parametrize("keys", ["x25519", "ml-kem"])
def test_a_sum_behind_masks_is_that_of_one_process(keys, tmp_path):
    changes = {"security": {"sum": {"kind": "masks", "keys": keys}}}
    there = run_remote(tmp_path / "remote" / "run", changes=changes)
    here = run_local(tmp_path / "local", changes)
    assert head(there) == head(here)
    for a, b in zip(lines(there)[1:], lines(here)[1:], strict=True):
        assert a["participants"] == b["participants"] == [0, 1, 2, 3]
        assert a["sum"]["bytes_up"] == b["sum"]["bytes_up"] and a["refused"] == []


WRONG = {
    "leaves parts of the model with the clients": {"client": {"algorithm": {"kind": "local_parts"}}},
    "cipher otp needs a pad": {"security": {"channel": {"kind": "qkd", "cipher": "otp"}}},
    "security.sum masks with keys qkd is not delivered": {
        "security": {"sum": {"kind": "masks", "keys": "qkd"}}
    },
    "machines hold texts of their own": {"data": {"partition": {"kind": "machines", "clients": 2}}},
}


@pytest.mark.parametrize("sentence", WRONG)
def test_what_machines_cannot_do_is_refused_in_a_sentence(sentence, tmp_path):
    with pytest.raises(RequestError) as found:
        run_remote(tmp_path / "run", changes=WRONG[sentence])
    assert sentence in str(found.value) and "\n" not in str(found.value)


def test_an_experiment_for_machines_is_not_run_here(tmp_path):
    from qfedfm.experiment.running import run_experiment

    with pytest.raises(RequestError, match="start the server with `qfedfm serve FILE`"):
        run_experiment(config("flower", {}), out=tmp_path / "run")
    with pytest.raises(RequestError, match=r"data\.partition is machines"):
        config("local", {"data": {"partition": {"kind": "machines", "clients": 2}}})


TWO = {"federation": {"rounds": 2}}


def reply_of(change):
    """Returns a change of the reply in the first round alone."""
    return lambda number, request, answer: [change(answer())] if number == 0 else [answer()]


def nan(reply):
    update = Update.from_bytes(parse(reply).body)
    delta = {name: tensor.clone() for name, tensor in update.delta.items()}
    next(iter(delta.values())).view(-1)[0] = float("nan")
    return with_update(reply, delta=delta)


def renamed(reply):
    update = Update.from_bytes(parse(reply).body)
    delta = {f"{name}s": tensor for name, tensor in update.delta.items()}
    return with_update(reply, delta=delta, schema=Layout.of(delta).schema)


def doubled(number, request, answer):
    reply = answer()
    return [reply, reply] if number == 0 else [reply]


def replayed():
    """Answers round 2 with what was the answer of round 1."""
    kept = []

    def change(number, request, answer):
        kept.append(answer())
        return [kept[0]]

    return change


BAD = {
    "holds NaN": reply_of(nan),
    "its schema is": reply_of(renamed),
    "it answers round 7, not round 0": reply_of(lambda r: with_update(r, round=7)),
    "it answers as client 0": reply_of(lambda r: with_update(r, client=0)),
    "it claims 0 examples": reply_of(lambda r: with_update(r, examples=0)),
    "the message is a pickle": reply_of(lambda r: pickle.dumps(r)),
    "the message does not begin like": reply_of(lambda r: b"\x00" + r),
    "the message is not a safetensors update": reply_of(
        lambda r: Envelope(UPDATE, parse(r).token, {}, pickle.dumps({"delta": 1})).to_bytes()
    ),
    "bytes, and at most": reply_of(lambda r: r + bytes(10 * len(r))),
    "it did not reply within 5 seconds": lambda number, request, answer: [answer()][: number > 0],
    "the machine was switched off": lambda number, request, answer: (
        [Arrival(102, b"", "the machine was switched off")] if number == 0 else [answer()]
    ),
}


@pytest.mark.parametrize("sentence", BAD)
def test_a_bad_reply_is_refused_and_the_round_goes_on(sentence, tmp_path):
    transport = Misbehaving(machines(tmp_path / "states"), 102, BAD[sentence])
    first, second = lines(run_remote(tmp_path / "run", transport, TWO))[1:]
    assert first["participants"] == [0, 1, 3] and second["participants"] == [0, 1, 2, 3]
    [(client, reason)] = refusals(first)
    assert client == 2 and sentence in reason and "\n" not in reason
    assert second["refused"] == []


def test_an_update_of_a_round_before_is_refused(tmp_path):
    """Though it repeats this round's token, as a client could that mixes up what it keeps."""

    def late(number, request, answer):
        return [with_update(answer(), round=0) if number == 1 else answer()]

    transport = Misbehaving(machines(tmp_path / "states"), 102, late)
    changes = {"federation": {"rounds": 3}}
    _, second, third = lines(run_remote(tmp_path / "run", transport, changes))[1:]
    assert second["participants"] == [0, 1, 3] and third["participants"] == [0, 1, 2, 3]
    assert refusals(second) == [(2, "it answers round 0, not round 1")]


def test_a_second_and_a_replayed_reply_count_once(tmp_path):
    doubling = Misbehaving(machines(tmp_path / "a"), 102, doubled)
    there = run_remote(tmp_path / "one" / "run", doubling, TWO)
    first = lines(there)[1]
    assert first["participants"] == [0, 1, 2, 3]
    assert refusals(first) == [(2, "a second reply of the same client")]
    assert head(there) == head(run_local(tmp_path / "local", TWO))
    replaying = Misbehaving(machines(tmp_path / "b"), 102, replayed())
    second = lines(run_remote(tmp_path / "two" / "run", replaying, TWO))[2]
    assert second["participants"] == [0, 1, 3]
    assert "it answers no open request" in refusals(second)[0][1]


def test_a_round_with_too_few_replies_leaves_the_model(tmp_path):
    silent = Misbehaving(machines(tmp_path / "states"), 102, lambda number, request, answer: [])
    changes = {"federation": {"rounds": 1, "flower": {"wait": 0, "deadline": 5, "minimum": 4}}}
    [line] = lines(run_remote(tmp_path / "run", silent, changes))[1:]
    assert line["participants"] == [] and line["update_norm"] == 0
    assert dict(refusals(line))[0] == "3 clients replied, and a round needs 4"


def test_nan_behind_a_sum_is_refused_by_the_client(tmp_path, monkeypatch):
    from qfedfm.federation.engines.local import LocalEngine

    train = LocalEngine.train

    def broken(self, plan, broadcast, cohort, faults, rng):
        updates = train(self, plan, broadcast, cohort, faults, rng)
        for update in updates:
            if update.client == 2 and broadcast.round == 0:
                next(iter(update.delta.values())).view(-1)[0] = float("nan")
        return updates

    monkeypatch.setattr(LocalEngine, "train", broken)
    changes = {**TWO, "security": {"sum": {"kind": "masks"}}}
    first, second = lines(run_remote(tmp_path / "run", machines(tmp_path / "states"), changes))[1:]
    assert first["participants"] == [0, 1, 3] and refusals(first) == [(2, "its own update holds NaN")]
    assert second["participants"] == [0, 1, 2, 3]


def test_tampering_with_a_sealed_message_is_seen_on_either_side(tmp_path):
    changes = {**TWO, "security": {"channel": {"kind": "x25519"}}}

    def flipped(message):
        return message[:-40] + bytes([message[-40] ^ 1]) + message[-39:]

    up = Misbehaving(machines(tmp_path / "a"), 102, reply_of(flipped))
    assert (
        "tag of a sealed message"
        in refusals(lines(run_remote(tmp_path / "up" / "run", up, changes))[1])[0][1]
    )
    states = machines(tmp_path / "b")
    down = Misbehaving(states, 102, lambda number, request, answer: [states.answers[102](flipped(request))])
    said = refusals(lines(run_remote(tmp_path / "down" / "run", down, changes))[1])
    assert len(said) == 1 and said[0][0] == 2 and said[0][1].startswith("it refused: the tag of a sealed")


def test_a_client_of_another_experiment_is_not_let_in(tmp_path):
    states = machines(tmp_path / "states")
    hello = states.answers[103]

    def other(message):
        reply = parse(hello(message))
        if reply.kind != "hello":
            return reply.to_bytes()
        return Envelope("hello", reply.token, {**reply.fields, "schema": "0" * 16}).to_bytes()

    states.answers[103] = other
    with pytest.raises(RunError, match="1 clients did not join within 0 seconds"):
        run_remote(tmp_path / "run", states)

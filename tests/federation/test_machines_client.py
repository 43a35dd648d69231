"""What a client refuses of its server, each in one sentence; the round goes on without it."""

from __future__ import annotations

import json
import pickle

import pytest
from machines import config, lines, machines, members, refusals, run_remote

from qfedfm.core.errors import RunError
from qfedfm.federation.engines.flower.transport import Loopback
from qfedfm.federation.engines.flower.wire import (
    BEHIND,
    HELLO,
    KEYS,
    PHASE,
    REFUSED,
    TRAIN,
    UPDATE,
    Envelope,
    parse,
)

CLIENT, NODE = 2, 102
TWO = {"federation": {"rounds": 2}}


class Forging(Loopback):
    """A server's machine that changes what it sends to one client: ``forge(envelope) -> bytes or None``."""

    def __init__(self, inner: Loopback, forge) -> None:
        super().__init__(inner.answers)
        self.forge, self.sent = forge, []

    def deliver(self, messages, seconds):
        forged = dict(messages)
        if NODE in messages:
            self.sent.append(parse(messages[NODE]))
            forged[NODE] = self.forge(self.sent[-1]) or messages[NODE]
        return super().deliver(forged, seconds)


def first(kind, change):
    """Returns a forger of the first round's message of a kind."""
    return lambda e: change(e) if e.kind == kind and e.fields.get("round", 0) == 0 else None


def with_fields(**fields):
    return lambda e: Envelope(e.kind, e.token, {**e.fields, **fields}, e.body).to_bytes()


def with_body(change):
    return lambda e: Envelope(e.kind, e.token, e.fields, change(e.body)).to_bytes()


def with_header(**fields):
    """Returns a change of a broadcast's own header."""

    def change(body):
        length = int.from_bytes(body[:8], "little")
        header = json.loads(body[8 : 8 + length])
        header["__metadata__"] |= fields
        written = json.dumps(header).encode()
        return len(written).to_bytes(8, "little") + written + body[8 + length :]

    return with_body(change)


NAN = b"\x00\x00\xc0\x7f"  # float32, little-endian
WRONG = {
    "the broadcast is of schema 'other', and this client expects": with_header(schema="other"),
    "the broadcast is not of round 1": with_header(round=f"{1:012d}"),
    "is unknown, not float32 or not finite": with_body(lambda body: body[:-4] + NAN),
    "the broadcast is not a safetensors message": with_body(lambda body: body[:-5]),
    "the message is a pickle, and nothing here is unpickled": lambda e: pickle.dumps(e.to_bytes()),
    "the message does not begin like one of this program": lambda e: b"HTTP" + e.to_bytes(),
    "the message's header is cut off": lambda e: e.to_bytes()[:20],
    "the message's header is malformed": lambda e: e.to_bytes().replace(b'{"kind"', b'["kind"', 1),
    "the message's header is of the unknown kind 'obey'": lambda e: Envelope(
        "obey", e.token, e.fields, e.body
    ).to_bytes(),
    "a server does not send 'update'": lambda e: Envelope(UPDATE, e.token, e.fields, e.body).to_bytes(),
    "the message is for client 1, and this is client 2": with_fields(client=1),
    "the experiment has no round 10": with_fields(round=9),
    "the header's field 'round' is -1": with_fields(round=-1),
    "the header's field 'client' is not of type int": with_fields(client="2"),
    "the header's field 'work' is 2.0": with_fields(work=2.0),
}


@pytest.mark.parametrize("sentence", WRONG)
def test_a_client_refuses_a_wrong_message_and_the_round_goes_on(sentence, tmp_path):
    transport = Forging(machines(tmp_path / "states"), first(TRAIN, WRONG[sentence]))
    one, two = lines(run_remote(tmp_path / "run", transport, TWO))[1:]
    assert one["participants"] == [0, 1, 3] and two["participants"] == [0, 1, 2, 3]
    [(client, reason)] = refusals(one)
    assert client == CLIENT and "\n" not in reason and two["refused"] == []
    # What a client cannot read it cannot answer by its token either; its own log has the sentence.
    if reason.startswith("it answers no open request"):
        reply = parse(members(tmp_path / "other")[NODE].answer(WRONG[sentence](transport.sent[-1])))
        assert reply.kind == REFUSED
        reason = reply.text("reason")
    assert sentence in reason


def test_a_broadcast_on_a_model_that_is_not_there_is_asked_for_whole(tmp_path):
    sent = Forging(machines(tmp_path / "states"), lambda e: None)
    run_remote(tmp_path / "run", sent, TWO)
    hello, _, second = sent.sent
    assert second.fields["in_step"] is True
    member = members(tmp_path / "other")[NODE]
    assert parse(member.answer(hello.to_bytes())).kind == HELLO
    assert parse(member.answer(second.to_bytes())).kind == BEHIND


def test_a_client_that_was_told_nothing_says_so(tmp_path):
    reply = parse(members(tmp_path)[NODE].answer(Envelope(TRAIN, "token", {}).to_bytes()))
    assert (reply.kind, reply.token) == (REFUSED, "token")
    assert reply.text("reason") == "this client has not been told the experiment yet"


def test_an_invitation_that_is_none(tmp_path):
    member = members(tmp_path)[NODE]
    for fields in (
        {},
        {"experiment": {}, "label_names": [1]},
        {"experiment": {"epochs": 1}, "label_names": []},
    ):
        reply = parse(member.answer(Envelope(HELLO, "token", fields).to_bytes()))
        assert reply.kind == REFUSED and "\n" not in reply.text("reason")
    good = {"experiment": config("flower", {}).plain(), "label_names": ["0", "1", "2"]}
    assert parse(member.answer(Envelope(HELLO, "token", good).to_bytes())).kind == HELLO


def test_a_server_whose_identity_changed_is_refused(tmp_path):
    """The second run on the same clients has a signing key of its own, as another server would."""
    changes = {**TWO, "security": {"channel": {"kind": "x25519"}}}
    states = machines(tmp_path / "states")
    run_remote(tmp_path / "one" / "run", states, changes)
    second = run_remote(tmp_path / "two" / "run", states, changes)
    for line in lines(second)[1:]:
        assert line["participants"] == []
        assert {reason for _, reason in refusals(line)} == {
            "it refused: the server's identity is not the one that this client joined"
        }


@pytest.mark.parametrize(
    ("channel", "sentence"),
    [
        ({"kind": "x25519"}, "it has no key agreement of round 1 in flight"),
        (
            {"kind": "qkd", "preset": "modern_fibre", "distance_km": 10, "block": 50_000},
            "is unknown, expired, or was delivered before",
        ),
    ],
    ids=["x25519", "qkd"],
)
def test_a_sealed_message_that_is_sent_again_is_refused(channel, sentence, tmp_path):
    """Its key served once; the reply that was made with it is the only one."""
    states = machines(tmp_path / "states", tmp_path / "run" / "qkd-keys.sqlite")
    transport = Forging(states, lambda e: None)
    run_remote(tmp_path / "run", transport, {**TWO, "security": {"channel": channel}})
    [train, _] = [e for e in transport.sent if e.kind == TRAIN]
    reply = parse(states.answers[NODE](train.to_bytes()))
    assert reply.kind == REFUSED and sentence in reply.text("reason")


def test_a_key_agreement_that_is_not_the_servers(tmp_path):
    """An answer that the server did not sign, and names of keys where the agreement has others."""
    changes = {**TWO, "security": {"channel": {"kind": "x25519"}}}

    def unsigned(e):
        answer = {**e.fields["seal"]["answer"], "signature": "AAAA"}
        return with_fields(seal={**e.fields["seal"], "answer": answer})(e)

    def renamed(e):
        keys = dict.fromkeys(e.fields["seal"]["keys"], "another")
        return with_fields(seal={**e.fields["seal"], "keys": keys})(e)

    for place, change, sentence in (
        ("a", unsigned, "it refused: the signature does not fit the identity of server"),
        ("b", renamed, "it refused: the key agreement did not end with one key"),
        ("c", with_fields(seal={}), "it refused: the server names no keys"),
    ):
        transport = Forging(machines(tmp_path / place / "states"), first(TRAIN, change))
        one, two = lines(run_remote(tmp_path / place / "run", transport, changes))[1:]
        assert one["participants"] == [0, 1, 3] and two["participants"] == [0, 1, 2, 3]
        assert refusals(one) == [(CLIENT, sentence)]


def test_a_keys_message_to_a_client_without_a_list_of_kinds(tmp_path):
    changes = {**TWO, "security": {"channel": {"kind": "x25519"}}}
    transport = Forging(machines(tmp_path / "states"), first(KEYS, with_fields(kinds="x25519")))
    one, _ = lines(run_remote(tmp_path / "run", transport, changes))[1:]
    assert refusals(one) == [(CLIENT, "it refused: the header's field 'kinds' is not a list")]


# Behind a sum ---------------------------------------------------------------------------------------

MASKS = {**TWO, "security": {"sum": {"kind": "masks"}}}


def job_with(**fields):
    return lambda e: with_fields(job={**e.fields["job"], **fields})(e) if "job" in e.fields else None


SUMS = {
    "what is to be summed is malformed": job_with(round="soon"),
    "what is to be summed names its clients twice or out of order": job_with(clients=[3, 2, 1, 0]),
    "the weights of what is to be summed are not positive, or do not add up to 1": job_with(
        weights={"0": 1.0, "1": 1.0, "2": 1.0, "3": 1.0}
    ),
    "what is to be summed is not what this client has trained": job_with(schema="other"),
    "security.sum masks has no phase 'tell'": with_fields(phase="tell"),
    "the identity of client 1 is malformed": lambda e: (
        with_fields(directory={**e.fields["directory"], "1": "00"})(e) if "directory" in e.fields else None
    ),
}


@pytest.mark.parametrize("sentence", SUMS)
def test_a_client_takes_no_part_in_a_sum_that_is_not_its_own(sentence, tmp_path):
    forge = first(PHASE, SUMS[sentence])
    begun = []

    def once(e):
        if e.kind != PHASE or begun:
            return None
        begun.append(e)
        return forge(e)

    there = run_remote(tmp_path / "run", Forging(machines(tmp_path / "states"), once), MASKS)
    one, two = lines(there)[1:]
    assert one["participants"] == [0, 1, 3] and two["participants"] == [0, 1, 2, 3]
    assert sentence in one["sum"]["left"]["2"]


def test_a_server_that_gives_another_client_a_new_key_is_refused(tmp_path):
    """A key that was seen before stays: the server could sit between two clients otherwise."""

    def swapped(e):
        if e.kind != PHASE or "directory" not in e.fields or e.fields["round"] == 0:
            return None
        directory = dict(e.fields["directory"])
        directory["1"] = directory["3"]
        return with_fields(directory=directory)(e)

    there = run_remote(tmp_path / "run", Forging(machines(tmp_path / "states"), swapped), MASKS)
    one, two = lines(there)[1:]
    assert one["participants"] == [0, 1, 2, 3] and two["participants"] == [0, 1, 3]
    assert "the identity of client 1 is not the one that was seen before" in two["sum"]["left"]["2"]


def test_a_machine_without_examples_is_not_let_in(tmp_path):
    states = machines(tmp_path / "states")
    hello = states.answers[NODE]

    def fewer(message):
        reply = parse(hello(message))
        return Envelope(reply.kind, reply.token, {**reply.fields, "examples": 0}, reply.body).to_bytes()

    states.answers[NODE] = fewer
    with pytest.raises(RunError, match="1 clients did not join within 0 seconds"):
        run_remote(tmp_path / "run", states)

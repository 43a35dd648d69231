"""Clients and servers that go away and come back: nothing is counted twice, and no key serves twice."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest
from machines import Misbehaving, head, lines, machines, refusals, run_local, run_remote

from qfedfm.federation.engines.flower import attendance
from qfedfm.federation.engines.flower.transport import Loopback
from qfedfm.federation.engines.flower.wire import HELLO, TRAIN, parse

QKD = {"kind": "qkd", "preset": "modern_fibre", "distance_km": 10, "block": 50_000}


def test_clients_are_restarted_before_every_message(tmp_path):
    """A client is what lies on its disk: a new process for each message changes no bit."""
    changes = {"client": {"algorithm": {"kind": "scaffold"}}, "security": {"channel": {"kind": "ml-kem"}}}

    class Restarting(Loopback):
        def deliver(self, messages, seconds):
            self.answers = machines(tmp_path / "states").answers
            return super().deliver(messages, seconds)

    there = run_remote(tmp_path / "run", Restarting({100 + k: None for k in range(4)}), changes)
    assert head(there) == head(run_local(tmp_path / "local", changes))


@pytest.mark.parametrize("channel", [{"kind": "none"}, {"kind": "x25519"}, QKD], ids=lambda c: c["kind"])
def test_a_client_that_lost_its_model_is_sent_the_whole_one(channel, tmp_path):
    states = machines(tmp_path / "states", tmp_path / "run" / "qkd-keys.sqlite")

    def forget(number, request, answer):
        for path in (tmp_path / "states" / "client-2").rglob("global.safetensors"):
            path.unlink()
        return [answer()]

    changes = {"security": {"channel": channel}}
    there = run_remote(tmp_path / "run", Misbehaving(states, 102, forget), changes)
    assert head(there) == head(run_local(tmp_path / "local"))
    assert all(line["refused"] == [] for line in lines(there)[1:])


@pytest.mark.parametrize(
    "security", [{}, {"channel": {"kind": "x25519"}}, {"sum": {"kind": "masks"}}], ids=str
)
def test_a_server_that_is_killed_resumes_and_counts_nothing_twice(security, tmp_path):
    """Killed when the clients have trained round 2 and nothing of it is recorded."""
    changes = {"client": {"algorithm": {"kind": "sgd" if "sum" in security else "scaffold"}}}
    changes["security"] = security
    states = machines(tmp_path / "states")

    class Killed(BaseException):
        pass

    class Killing(Loopback):
        calls = 0

        def deliver(self, messages, seconds):
            found = super().deliver(messages, seconds)
            request = parse(next(iter(messages.values()))) if messages else None
            last = "inputs" if "sum" in security else None
            if request is not None and request.fields.get("round") == 1:
                if request.kind == ("phase" if last else TRAIN) and request.fields.get("phase") == last:
                    raise Killed
            return found

    with pytest.raises(Killed):
        run_remote(tmp_path / "run", Killing(states.answers), changes)
    there = run_remote(tmp_path / "run", Loopback(states.answers), changes, resume=True)
    rounds = lines(there)[1:]
    assert [line["round"] for line in rounds] == [1, 2, 3]
    if "sum" not in security:
        assert head(there) == head(run_local(tmp_path / "local", changes))
        return
    # Two sums of one round's updates over different clients would show an update: the round is lost.
    assert [len(line["participants"]) for line in rounds] == [4, 0, 4]
    assert all("before; two sums" in reason for _, reason in refusals(rounds[1]))


@pytest.fixture(autouse=True)
def looking_often(monkeypatch):
    monkeypatch.setattr(attendance, "POLL_SECONDS", 0.01)


class Watched(Loopback):
    """Machines of which some are away until ``nodes`` has been called so often; keeps what is sent."""

    def __init__(self, inner, away=(), calls=0):
        super().__init__(inner.answers)
        self.away, self.calls, self.sent = set(away), calls, []

    def nodes(self):
        self.calls -= 1
        return [node for node in super().nodes() if self.calls < 0 or node not in self.away]

    def deliver(self, messages, seconds):
        self.sent += [(node, parse(message)) for node, message in messages.items()]
        return super().deliver(messages, seconds)


def test_no_key_serves_two_messages_though_the_server_is_killed(tmp_path):
    """Killed between a round's messages and its record: the round is asked again, with keys of its own."""
    changes, store = {"security": {"channel": QKD}}, tmp_path / "run" / "qkd-keys.sqlite"
    states = machines(tmp_path / "states", store)

    class Killed(BaseException):
        pass

    class Killing(Watched):
        def deliver(self, messages, seconds):
            found = super().deliver(messages, seconds)
            if [e.fields["round"] for _, e in self.sent if e.kind == TRAIN].count(1) == 4:
                raise Killed
            return found

    before, after = Killing(states), Watched(states)
    with pytest.raises(Killed):
        run_remote(tmp_path / "run", before, changes)
    there = run_remote(tmp_path / "run", after, changes, resume=True)
    assert head(there) == head(run_local(tmp_path / "local"))
    asked = [envelope for _, envelope in (*before.sent, *after.sent) if envelope.kind == TRAIN]
    assert [e.fields["round"] for e in asked] == [0] * 4 + [1] * 8 + [2] * 4
    names = [name for e in asked for name in e.fields["seal"]["keys"].values()]
    with contextlib.closing(sqlite3.connect(store)) as connection:
        kept = connection.execute("SELECT key_id, bits FROM keys").fetchall()
    assert len(set(names)) == len(names) == 2 * 16
    assert sorted(name for name, _ in kept) == sorted(names), "each key was drawn for one message"
    assert all(bits is None for _, bits in kept), "and fetched, which is possible once"


def test_a_round_waits_for_as_many_as_it_needs(tmp_path):
    """Everybody was there for the first round; of the second's two are away for a while."""
    states, flower = machines(tmp_path / "states"), {"wait": 0, "deadline": 600, "minimum": 3}
    changes = {"federation": {"rounds": 2, "flower": flower}}

    class Leaving(Watched):
        def deliver(self, messages, seconds):
            found = super().deliver(messages, seconds)
            if [e.kind for _, e in self.sent].count(TRAIN) == 4 and not self.away:
                self.away, self.calls = {101, 102}, 3
            return found

    there = run_remote(tmp_path / "run", Leaving(states), changes)
    assert [line["participants"] for line in lines(there)[1:]] == [[0, 1, 2, 3]] * 2
    assert head(there) == head(run_local(tmp_path / "local", {"federation": {"rounds": 2}}))


def test_a_server_that_was_restarted_waits_for_the_clients_it_knows(tmp_path):
    states, flower = machines(tmp_path / "states"), {"wait": 0, "deadline": 600}
    changes = {"federation": {"flower": flower}}

    class Killed(BaseException):
        pass

    class Killing(Loopback):
        def deliver(self, messages, seconds):
            if any(parse(message).fields.get("round") == 1 for message in messages.values()):
                raise Killed
            return super().deliver(messages, seconds)

    with pytest.raises(Killed):
        run_remote(tmp_path / "run", Killing(states.answers), changes)
    back = Watched(states, away={100, 101, 102}, calls=3)
    there = run_remote(tmp_path / "run", back, changes, resume=True)
    assert [line["participants"] for line in lines(there)[1:]] == [[0, 1, 2, 3]] * 3
    assert head(there) == head(run_local(tmp_path / "local"))


def test_a_client_that_does_not_come_back_is_waited_for_once(tmp_path):
    """No longer than for a reply, and the round goes on without it."""
    states, flower = machines(tmp_path / "states"), {"wait": 0, "deadline": 0.01, "minimum": 4}
    changes = {"federation": {"rounds": 2, "flower": flower}}

    class Leaving(Watched):
        def deliver(self, messages, seconds):
            found = super().deliver(messages, seconds)
            if [e.kind for _, e in self.sent].count(TRAIN) == 4:
                self.away, self.calls = {102}, 1 << 30
            return found

    _, second = lines(run_remote(tmp_path / "run", Leaving(states), changes))[1:]
    assert second["participants"] == []
    assert (2, "it was not connected when the round began") in refusals(second)
    assert (0, "3 clients replied, and a round needs 4") in refusals(second)


def test_a_machine_that_was_not_let_in_is_not_asked_in_each_round(tmp_path, monkeypatch):
    monkeypatch.setattr(attendance, "AGAIN_SECONDS", 1e9)
    states = machines(tmp_path / "states")
    states.answers |= machines(tmp_path / "more", clients=6).answers | states.answers
    watched = Watched(states)
    there = run_remote(tmp_path / "run", watched)
    assert [line["participants"] for line in lines(there)[1:]] == [[0, 1, 2, 3]] * 3
    assert sorted(node for node, e in watched.sent if e.kind == HELLO) == [100, 101, 102, 103, 104, 105]

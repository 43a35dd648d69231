"""Pairwise masks: the exact integer sum, dropouts, aborts that reveal nothing, keys used once."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from qfedfm.core.errors import RequestError
from qfedfm.core.random import Streams
from qfedfm.security.channel.links import Measured
from qfedfm.security.qkd import budget
from qfedfm.security.qkd.store import UsedKeyError
from qfedfm.security.summation import Masks, SumAbortedError
from qfedfm.security.summation.masks.graph import connected, neighbours
from qfedfm.security.summation.masks.integers import Integers, add_messages, from_bytes, to_bytes
from qfedfm.security.summation.wire import clients, join, read_table, split, table

sys.path.insert(0, str(Path(__file__).parent))
from summing import SEED, add_up, integer_sum, job, updates

KEYS = ("x25519", "ml-kem", "qkd")


@pytest.fixture(autouse=True)
def link(monkeypatch):
    """A measured link without simulating its pulses."""
    found = Measured(1e6, 1.0, 500_000, None, 0.01)
    monkeypatch.setattr("qfedfm.security.summation.masks.links.measure", lambda *_: found)


def check(options, found, who=None, **how):
    total = add_up(options, found, **how)
    who = tuple(found) if who is None else tuple(sorted(who))
    assert total.clients == who
    np.testing.assert_array_equal(total.total, integer_sum(options, found, who))
    return total


@pytest.mark.parametrize("bits", [16, 24, 32])
def test_the_sum_is_the_integer_sum_whatever_the_bits(bits):
    check(Masks(bits=bits), updates(5, 37))


def test_clients_that_vanish_one_phase_after_the_other():
    found = updates(9, 50)
    gone = {0: "keys", 3: "shares", 5: "inputs"}
    check(Masks(threshold=0.51), found, set(found) - set(gone), leaves={**gone, 8: "unmasking"})


def test_pads_survive_dropouts_before_the_sum_is_formed():
    options = Masks(keys="qkd", masks="pads")
    found = updates(6, 50)
    check(options, found)
    check(options, found, {1, 2, 4, 5}, leaves={0: "shares", 3: "inputs"})
    check(options, found, leaves={3: "unmasking"})


def test_a_qkd_key_is_delivered_once_to_each_side():
    summation = Masks(keys="qkd").open(Streams(SEED))
    found = updates(2, 4)
    summation.server(job(found))
    links = summation._links
    key_id, key = links.draw(0, [1], 0)[1]
    assert links.fetch(1, {0: key_id}) == {0: key} and len(key) == 32
    with pytest.raises(UsedKeyError):
        links.fetch(1, {0: key_id})
    summation.close()


@pytest.mark.parametrize("masks", ["aes-ctr", "pads"])
def test_key_bits_are_those_of_the_formulas(masks):
    options, found = Masks(keys="qkd", masks=masks), updates(5, 40)
    summation = options.open(Streams(SEED))
    total = add_up(options, found, summation=summation)
    each = budget.prg_mask_bits(5)
    if masks == "pads":
        each += budget.pairwise_mask_bits(40 * 3, 5)
    record = summation.record(0)
    assert total.cost.key_bits == record["key_bits"] == 5 * each // 2  # a key belongs to two clients
    assert record["key_wait_seconds"] == 0 and len(record["pair_key_bits"]) == 10
    again = options.open(Streams(SEED), record)
    add_up(options, found, summation=again, number=1)
    add_up(options, found, summation=summation, number=1)
    assert again.record(1) == summation.record(1)


def test_links_that_hold_too_little_make_the_round_wait():
    options = Masks(keys="qkd", masks="pads", bits=32, link={"pool_bits": 1 << 25})
    summation = options.open(Streams(SEED))
    add_up(options, {k: np.zeros(25_000, np.float32) for k in range(2)}, summation=summation)
    need = 32 * 25_000 + 256
    assert summation.record(0)["key_wait_seconds"] == pytest.approx((need - 500_000) / 1e6, abs=1e-5)
    for change, sentence in (
        ({"on_shortage": "abort"}, "says not to wait"),
        ({"pool_bits": 500_000}, "pool_bits"),
    ):
        with pytest.raises(Exception, match=sentence):
            add_up(
                options.model_copy(update={"link": options.link.model_copy(update=change)}),
                {k: np.zeros(25_000, np.float32) for k in range(2)},
            )


def test_bytes_are_counted_by_phase():
    found = updates(4, 100)
    cost = add_up(Masks(), found).cost
    assert cost.bytes_up["inputs"] == 4 * 300 and cost.bytes_down["keys"] == 0
    assert cost.upload_bytes == sum(cost.bytes_up.values()) and cost.download_bytes > 0


def test_no_update_can_overflow_the_modulus():
    for bits, count in ((16, 2), (16, 12), (24, 7), (32, 3)):
        integers = Integers(bits, count, 1.0)
        most = integers.levels + count
        assert most == 2 ** (bits - 1) - 1
        for value in (1e9, -1e9):
            found = {k: np.full(64, value, np.float32) for k in range(count)}
            total = add_up(Masks(bits=bits), found)
            np.testing.assert_allclose(total.total, np.sign(value), atol=(count + 1) / integers.scale)
            assert np.abs(total.total * integers.scale).max() <= most
    Masks(bits=16).check(10_000)
    with pytest.raises(RequestError, match=r"security\.sum\.bits is 16, but sums of 20000 clients"):
        Masks(bits=16).check(20_000)


def test_clipped_numbers_are_counted():
    found = updates(3, 100)
    found[1][:7] = 3.0
    options = Masks(bound=2.5)
    summation, what = options.open(Streams(SEED)), job(found)
    server = summation.server(what)
    ends = {k: summation.client(what, k, found[k]) for k in found}
    for phase in options.phases:
        server.take(phase, {k: ends[k].reply(phase, m) for k, m in server.ask(phase).items()})
    assert [ends[k].notes["clipped"] for k in found] == [0, 7, 0]


def test_rounding_is_unbiased():
    integers = Integers(16, 2, 1.0)
    exact = 0.3 / integers.scale
    words, _ = integers.encode(np.full(200_000, exact, np.float32), 1.0, np.random.default_rng(1))
    q = integers.signed(words)
    assert set(np.unique(q)) == {0, 1} and q.mean() == pytest.approx(0.3, abs=4 * (0.21 / 200_000) ** 0.5)


@pytest.mark.parametrize("bits", [16, 24, 32])
def test_numbers_travel_as_they_are(bits):
    rng = np.random.default_rng(0)
    words = [rng.integers(0, 2**bits, 70_001, np.uint32) for _ in range(3)]
    messages = [to_bytes(w, bits) for w in words]
    assert len(messages[0]) == 70_001 * bits // 8
    np.testing.assert_array_equal(from_bytes(messages[0], bits), words[0])
    expected = sum(w.astype(np.int64) for w in words) % 2**bits
    np.testing.assert_array_equal(add_messages(messages, 70_001, bits), expected)


def test_a_sparse_graph_is_a_ring_in_which_each_knows_its_next():
    graph = neighbours(range(20), 6, np.random.default_rng(0))
    assert all(len(peers) == 6 and u not in peers for u, peers in graph.items())
    assert all(u in graph[v] for u, peers in graph.items() for v in peers)
    assert connected(graph, range(20))
    rng = np.random.default_rng(1)  # k-connected: no five clients that vanish cut it
    assert all(connected(graph, rng.choice(20, 15, replace=False).tolist()) for _ in range(200))
    assert neighbours(range(5), 6, rng) == neighbours(range(5), None, rng)


@pytest.mark.parametrize("keys", KEYS)
def test_a_sparse_graph_gives_the_same_sum_with_fewer_keys(keys):
    found, options = updates(12, 30), Masks(keys=keys, neighbours=4)
    total = check(options, found)
    assert total.cost.key_bits == (256 * 12 * 4 // 2 if keys == "qkd" else 0)
    everybody = add_up(Masks(), found).cost
    assert total.cost.bytes_up["shares"] < everybody.bytes_up["shares"] / 2
    check(options, found, set(found) - {2, 11}, leaves={2: "shares", 11: "inputs"})


def test_a_sparse_round_ends_where_somebody_lost_too_many_neighbours():
    found, options = updates(16, 5), Masks(neighbours=4)
    graph = options.open(Streams(SEED)).setting(job(found)).graph
    with pytest.raises(SumAbortedError, match="holders of client 0's shares are left"):
        add_up(options, found, leaves=dict.fromkeys(graph[0][:3], "inputs"))


def ends(options, count=4):
    found = updates(count, 8)
    what, summation = job(found), options.open(Streams(SEED))
    return summation.server(what), {k: summation.client(what, k, found[k]) for k in found}


def until(phase, options=None, change=lambda phase, messages: messages):
    """Runs all phases before ``phase``; returns the messages that the server would send then."""
    options = options or Masks()
    server, clients = ends(options)
    for name in options.phases:
        messages = change(name, server.ask(name))
        if name == phase:
            return messages, clients
        server.take(name, {k: clients[k].reply(name, m) for k, m in messages.items()})
    raise AssertionError


def test_a_server_that_swaps_public_keys_is_noticed():
    for keys, phase in (("x25519", "shares"), ("ml-kem", "encapsulations"), ("ml-kem", "shares")):
        messages, clients = until(phase, Masks(keys=keys))
        sent = read_table(messages[0 if phase == "encapsulations" else 3])
        sender = max(sent) if phase == "encapsulations" else min(sent)
        common, own = split(sent[sender], 2)
        signed = bytearray(own if phase == "shares" and keys == "ml-kem" else common)
        signed[10] ^= 1
        sent[sender] = (
            join(common, bytes(signed)) if signed[:4] == own[:4] and own else join(bytes(signed), own)
        )
        victim = clients[0 if phase == "encapsulations" else 3]
        with pytest.raises(SumAbortedError, match="does not fit the identity"):
            victim.reply(phase, table(sent))


def test_a_changed_share_is_noticed():
    messages, clients = until("inputs")
    there, sealed = split(messages[2], 2)
    shares = read_table(sealed)
    shares[1] = shares[1][:-1] + bytes([shares[1][-1] ^ 1])
    with pytest.raises(SumAbortedError, match="a share of client 1 was changed"):
        clients[2].reply("inputs", join(there, table(shares)))


def test_a_client_tells_only_one_of_two_secrets_and_only_once():
    """The server says that client 3 vanished, though it has its masked numbers."""
    options = Masks(threshold=0.51)
    _, ends = until("consistency", options)
    summed = clients({0, 1, 2})
    signed = table({k: ends[k].reply("consistency", summed) for k in (0, 1, 2)})
    held = dict(ends[1]._held)
    first, second = (read_table(split(ends[k].reply("unmasking", signed), 2)[0]) for k in (0, 1))
    assert set(first) == {0, 1, 2, 3} and all(len(share) == 33 for share in first.values())
    assert second == {k: held[k][0 if k in {0, 1, 2} else 1] for k in range(4)}
    for phase in ("unmasking", "consistency"):
        with pytest.raises(SumAbortedError, match="out of turn"):
            ends[0].reply(phase, signed)


@pytest.mark.parametrize("summed", [{0}, {1, 2, 3}, {0, 1, 2, 9}, set()])
def test_a_client_signs_nothing_but_a_sum(summed):
    _, ends = until("consistency")
    with pytest.raises(SumAbortedError):
        ends[0].reply("consistency", clients(summed))


def test_two_stories_about_who_is_in_the_sum_are_noticed():
    _, ends = until("consistency")
    one, other = clients({0, 1, 2}), clients({0, 1, 2, 3})
    signed = {0: ends[0].reply("consistency", one), 1: ends[1].reply("consistency", one)}
    signed[2] = ends[2].reply("consistency", other)
    with pytest.raises(SumAbortedError, match="does not fit the identity of client 2"):
        ends[0].reply("unmasking", table(signed))
    with pytest.raises(
        SumAbortedError, match="2 of 4 clients agree on who is in the sum, and the sum needs 3"
    ):
        ends[1].reply("unmasking", table({k: signed[k] for k in (0, 1)}))
    with pytest.raises(SumAbortedError, match="not in the sum"):
        ends[2].reply("unmasking", table({9: signed[0]}))


def test_a_broken_message_is_that_of_a_client_that_is_gone():
    options, found = Masks(), updates(5, 8)
    summation = options.open(Streams(SEED))
    what = job(found)
    server = summation.server(what)
    parties = {k: summation.client(what, k, found[k]) for k in found}
    for phase in options.phases:
        replies = {k: parties[k].reply(phase, m) for k, m in server.ask(phase).items()}
        if phase == "inputs":
            replies[2] = replies[2][:-1]
        server.take(phase, replies)
    total = server.result()
    assert total.clients == (0, 1, 3, 4) and "23 bytes" in total.notes["refused"]["2"]
    np.testing.assert_array_equal(total.total, integer_sum(options, found, total.clients))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"masks": "pads"}, "only keys qkd gives"),
        ({"link": {"distance_km": 5}}, "describes QKD links"),
        ({"threshold": 0.5}, "greater than 0.5"),
        ({"neighbours": 3}, "multiple of 2"),
        ({"keys": "qkd", "link": {"preset": "gyss"}}, "did you mean 'gys'"),
    ],
)
def test_unsound_options_are_refused(options, sentence):
    with pytest.raises((RequestError, ValueError), match=sentence):
        Masks.model_validate(options)


def test_what_cannot_work_for_so_many_clients_is_refused():
    with pytest.raises(RequestError, match="would be that client's update"):
        Masks().check(1)
    with pytest.raises(RequestError, match="neighbours is 6, but a round has 6 clients"):
        Masks(neighbours=6).check(6)

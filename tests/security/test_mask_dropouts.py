"""Masks under every source of keys: the integer sum whoever vanishes when, and nothing where too many do."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chisquare

from qfedfm.core.random import Streams
from qfedfm.security.channel.links import Measured
from qfedfm.security.qkd.ledger import KeyReuseError
from qfedfm.security.summation import Masks, SumAbortedError
from qfedfm.security.summation.masks.integers import add_messages
from qfedfm.security.summation.wire import read_table, split

sys.path.insert(0, str(Path(__file__).parent))
from summing import SEED, add_up, integer_sum, updates

LINK = {"pool_bits": 1 << 30}
SOURCES = {
    "x25519": Masks(),
    "ml-kem": Masks(keys="ml-kem"),
    "qkd": Masks(keys="qkd", link=LINK),
    "pads": Masks(keys="qkd", masks="pads", link=LINK),
}
PHASES = ("keys", "encapsulations", "shares", "inputs", "consistency", "unmasking")
#: Who vanishes then has sent its masked numbers and is in the sum.
AFTER_INPUTS = PHASES[-2:]


@pytest.fixture(autouse=True)
def link(monkeypatch):
    """A measured link without simulating its pulses."""
    found = Measured(1e6, 1.0, 50_000_000, None, 0.01)
    monkeypatch.setattr("qfedfm.security.summation.masks.links.measure", lambda *_: found)


@pytest.fixture(params=SOURCES)
def options(request) -> Masks:
    return SOURCES[request.param]


def left_of(count: int) -> int:
    """⌈0.6 K⌉ in whole numbers, at least 2."""
    return max(2, -(-3 * count // 5))


def check(options: Masks, count: int, phase: str | None = None, size: int = 21) -> None:
    """The sum is the integer sum, with as many silent from ``phase`` on as the threshold allows."""
    found = updates(count, size, seed=count)
    order = np.random.default_rng(count).permutation(count).tolist()
    gone = order[left_of(count) :] if phase else []
    who = set(found) if phase in AFTER_INPUTS else set(found) - set(gone)
    total = add_up(options, found, leaves=dict.fromkeys(gone, phase))
    assert total.clients == tuple(sorted(who))
    np.testing.assert_array_equal(total.total, integer_sum(options, found, who))


@pytest.mark.parametrize("count", [2, 3, 10])
def test_the_sum_is_the_integer_sum_bit_for_bit(options, count):
    check(options, count)


@pytest.mark.parametrize("phase", PHASES)
def test_as_many_as_the_threshold_allows_may_vanish_at_any_stage(options, phase):
    if phase not in options.phases:
        return
    check(options, 7, phase)
    found = updates(7, 21)
    with pytest.raises(SumAbortedError, match=r"4 of 7 clients .* needs 5"):
        add_up(options, found, leaves=dict.fromkeys((1, 4, 6), phase))


@pytest.mark.slow
@pytest.mark.parametrize("count", range(2, 51))
def test_for_any_number_of_clients_and_any_stage(options, count):
    """All stages up to 6 clients and at 50; in between a stage that differs from one number to the next."""
    phases = options.phases
    check(options, count)
    for phase in phases if count <= 6 or count == 50 else [phases[count % len(phases)]]:
        check(options, count, phase)


def test_dropouts_spread_over_the_stages_of_fifty(options):
    found = updates(50, 1000)
    gone = {**dict.fromkeys(range(5), "keys"), **dict.fromkeys(range(5, 10), "shares")}
    gone |= dict.fromkeys(range(10, 20), "inputs")
    total = add_up(options, found, leaves=gone)
    assert total.clients == tuple(range(20, 50))
    np.testing.assert_array_equal(total.total, integer_sum(options, found, range(20, 50)))


def uniform(numbers: np.ndarray | bytes) -> bool:
    content = np.frombuffer(numbers, np.uint8)
    return bool(chisquare(np.bincount(content, minlength=256)).pvalue >= 1e-6)


@pytest.mark.parametrize("bits", [16, 24, 32])
def test_a_masked_message_is_uniform(options, bits):
    sent = {}

    def spy(phase, messages, replies):
        if phase == "inputs":
            sent.update(replies)

    found = {k: np.zeros(100_000, np.float32) for k in range(3)}
    add_up(options.model_copy(update={"bits": bits}), found, spy=spy)
    assert len(sent) == 3
    for message in sent.values():
        assert len(message) == 100_000 * bits // 8 and uniform(message)


@pytest.mark.parametrize("phase", PHASES)
def test_below_the_threshold_the_server_is_left_with_noise(options, phase):
    """Two of four vanish where three must be left: whatever the server has by then, it opens nothing."""
    if phase not in options.phases:
        return
    options = options.model_copy(update={"bits": 32})
    size, seen = 50_000, {}
    with pytest.raises(SumAbortedError, match=f"2 of 4 clients answered in phase {phase}, .* needs 3"):
        add_up(
            options,
            {k: np.zeros(size, np.float32) for k in range(4)},
            leaves=dict.fromkeys((0, 2), phase),
            spy=lambda phase, messages, replies: seen.setdefault(phase, replies),
        )
    assert list(seen) == list(options.phases[: options.phases.index(phase) + 1])
    masked = list(seen.get("inputs", {}).values())
    assert len(masked) == {"inputs": 2}.get(phase, 4 if phase in AFTER_INPUTS else 0)
    for message in masked:
        assert uniform(message)
    if masked:  # in the sum of all the pairs' masks cancel, and the clients' own do not
        assert uniform(add_messages(masked, size, 32).tobytes())
        for other in masked[1:]:
            assert uniform(np.frombuffer(masked[0], "<u4") - np.frombuffer(other, "<u4"))
    shares: dict[int, int] = {}
    for reply in seen.get("unmasking", {}).values():
        for owner in read_table(split(reply, 2)[0]):
            shares[owner] = shares.get(owner, 0) + 1
    assert all(held == 2 for held in shares.values()), "three shares open a secret"
    assert len(shares) == (4 if phase == "unmasking" else 0)


def test_a_pair_has_one_key_a_round(options):
    found = updates(3, 4)
    summation = options.open(Streams(SEED))
    add_up(options, found, summation=summation, number=4)
    for again in (4, 3):
        with pytest.raises(KeyReuseError, match="a pair has one key a round"):
            add_up(options, found, summation=summation, number=again)
    add_up(options, found, summation=summation, number=5)


def test_pads_do_not_survive_the_one_that_alone_holds_them():
    """Who is in the sum and vanishes takes along the pads of those who were gone before."""
    options, found = SOURCES["pads"], updates(6, 50)
    with pytest.raises(SumAbortedError, match="vanished with the one-time pads"):
        add_up(options, found, leaves={3: "inputs", 5: "unmasking"})
    total = add_up(SOURCES["qkd"], found, leaves={3: "inputs", 5: "unmasking"})
    assert total.clients == (0, 1, 2, 4, 5)

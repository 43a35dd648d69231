"""Cascade against published efficiencies, and what it says in public."""

from __future__ import annotations

import numpy as np
import pytest

from qfedfm.core.errors import RequestError
from qfedfm.core.random import Streams
from qfedfm.security.qkd.link.cascade import VARIANTS, reconcile


def keys(error, frames, seed=0, length=10_000):
    """Keys whose number of errors is exactly ``error`` in each frame, so that runs are comparable."""
    rng = np.random.default_rng(seed)
    alice = rng.integers(0, 2, (frames, length), dtype=np.uint8)
    wrong = np.zeros((frames, length), dtype=np.uint8)
    for row in wrong:
        row[rng.choice(length, round(error * length), replace=False)] = 1
    return alice.ravel(), (alice ^ wrong).ravel()


def failed(found, alice):
    return sum(bool((found.bits[a:b] != alice[a:b]).any()) for a, b in found.frames)


@pytest.mark.parametrize(("error", "published"), [(0.01, 1.143), (0.03, 1.174), (0.05, 1.185), (0.10, 1.209)])
def test_original_has_the_published_efficiency(error, published):
    alice, bob = keys(error, 400)
    found = reconcile(alice, bob, error, Streams(1), kind="original")
    assert found.efficiency(error) == pytest.approx(published, abs=0.01)
    assert failed(found, alice) <= 2


@pytest.mark.parametrize(("kind", "frames"), [("option4", 300), ("option7", 300)])
def test_modern_variants_disclose_less(kind, frames):
    alice, bob = keys(0.03, frames)
    found = reconcile(alice, bob, 0.03, Streams(1), kind=kind)
    assert found.efficiency(0.03) <= 1.10
    assert failed(found, alice) <= 2


@pytest.mark.slow
def test_modern_frame_error_rate():
    alice, bob = keys(0.03, 10_000)
    found = reconcile(alice, bob, 0.03, Streams(2), kind="option4", fresh=False)
    assert found.efficiency(0.03) <= 1.10
    assert failed(found, alice) <= 10


@pytest.mark.parametrize("kind", VARIANTS)
@pytest.mark.parametrize("length", [2, 3, 17, 1000, 10_001, 24_999])
def test_any_length(kind, length):
    rng = np.random.default_rng(length)
    alice = rng.integers(0, 2, length, dtype=np.uint8)
    bob = alice.copy()
    bob[rng.integers(0, length, max(1, length // 50))] ^= 1
    found = reconcile(alice, bob, 0.02, Streams(0), kind=kind)
    assert (found.bits != alice).sum() in (0, 2, 4)  # what is left has even parity everywhere
    assert found.frames[0][0] == 0 and found.frames[-1][1] == length
    assert found.disclosed.sum() == len(found.transcript) == found.leak


def test_no_errors_disclose_the_first_parities_alone():
    alice, _ = keys(0.03, 1)
    found = reconcile(alice, alice, 0.03, Streams(0), kind="original")
    sizes = VARIANTS["original"].block_sizes(0.03, 10_000)
    assert found.leak == sum(-(-10_000 // int(size)) for size in sizes)
    assert found.corrected.sum() == 0


def test_the_transcript_is_what_alice_would_say():
    """The first parities of the transcript are those of her blocks, from her bits alone."""
    alice, bob = keys(0.05, 1)
    found = reconcile(alice, bob, 0.05, Streams(0), kind="original")
    size = int(VARIANTS["original"].block_sizes(0.05, 10_000)[0])
    blocks = [int(alice[k : k + size].sum()) % 2 for k in range(0, 10_000, size)]
    assert found.transcript[: len(blocks)].tolist() == blocks


def test_a_seed_gives_the_same_bits_and_bob_is_left_alone():
    alice, bob = keys(0.04, 2)
    before = bob.copy()
    one, two = (reconcile(alice, bob, 0.04, Streams(5)) for _ in range(2))
    assert (one.transcript == two.transcript).all() and (bob == before).all()


def test_a_flipped_parity_ends_with_another_key():
    alice, bob = keys(0.03, 1)
    found = reconcile(alice, bob, 0.03, Streams(5), flipped=7)
    assert (found.bits != alice).any()


def test_wrong_requests():
    bits = np.zeros(10, dtype=np.uint8)
    with pytest.raises(RequestError, match="option4"):
        reconcile(bits, bits, 0.1, Streams(0), kind="option44")
    with pytest.raises(RequestError, match="two keys of one length"):
        reconcile(bits, bits[:5], 0.1, Streams(0))


def test_a_plain_protocol_agrees():
    """Written on its own, one block at a time, it corrects the same errors at nearly the same cost."""
    from qfedfm.benchmarks.peers.plain_cascade import plain_cascade

    alice, bob = keys(0.05, 1, length=5_000)
    bits, said = plain_cascade(alice, bob, 0.05)
    ours = reconcile(alice, bob, 0.05, Streams(0), kind="original")
    assert bits == alice.tolist() == ours.bits.tolist()
    assert said == pytest.approx(ours.leak, rel=0.05)

"""Keystreams and secret shares, the parts that masks are made of."""

from __future__ import annotations

import numpy as np
import pytest

from qfedfm.security.summation.masks.integers import CHUNK
from qfedfm.security.summation.masks.keystream import add_masks, keystream
from qfedfm.security.summation.masks.shamir import PRIME, reconstruct, share


def test_the_keystream_is_aes_256_in_counter_mode():
    # FIPS 197 block cipher, zero key and zero block.
    first = keystream(bytes(32), 4).astype("<u4").tobytes()
    assert first.hex() == "dc95c078a2408989ad48a21492842087"


def test_every_bit_of_a_key_counts():
    key = bytes(range(32))
    masks = {keystream(key, 8).tobytes()}
    for bit in range(256):
        other = bytearray(key)
        other[bit // 8] ^= 1 << (bit % 8)
        masks.add(keystream(bytes(other), 8).tobytes())
    assert len(masks) == 257


def test_keys_that_a_fold_into_fewer_bits_confuses_have_masks_of_their_own():
    """Words in another order have the same sum and exclusive or; so have two with the same bits flipped."""
    words = [bytes([k, 0, 0, k]) for k in range(8)]
    keys = {b"".join(words[i:] + words[:i]) for i in range(8)}
    for word in range(4):  # keys that differ in one word of 64 bits alone
        other = bytearray(b"".join(words))
        other[8 * word : 8 * word + 8] = b"\xa5" * 8
        keys.add(bytes(other))
    keys.add(bytes(a ^ b for a, b in zip(b"".join(words), 2 * (bytes(8) + b"\xff" * 8), strict=True)))
    masks = [keystream(key, 1000) for key in sorted(keys)]
    assert len(masks) == 13
    for i, mask in enumerate(masks):
        for other in masks[:i]:
            assert np.mean(mask == other) < 0.01


@pytest.mark.parametrize("size", [1, 5, CHUNK - 1, CHUNK, 2 * CHUNK + 3])
def test_masks_cancel_whatever_the_length(size):
    words = np.arange(size, dtype=np.uint32)
    keys = [(bytes([k]) * 32, 1) for k in range(3)]
    add_masks(words, keys)
    expected = np.arange(size, dtype=np.uint32) + sum(keystream(key, size) for key, _ in keys)
    np.testing.assert_array_equal(words, expected)
    add_masks(words, [(key, -1) for key, _ in keys])
    np.testing.assert_array_equal(words, np.arange(size, dtype=np.uint32))


def test_a_longer_mask_begins_with_the_shorter_one():
    np.testing.assert_array_equal(keystream(b"k" * 32, 100_000)[:40_000], keystream(b"k" * 32, 40_000))


@pytest.mark.parametrize(("threshold", "points"), [(2, 2), (2, 5), (3, 5), (5, 5), (7, 12)])
def test_any_threshold_of_shares_gives_the_secret(threshold, points):
    secret = bytes(range(32))
    shares = share(secret, range(1, points + 1), threshold)
    for start in range(points):
        chosen = {x: shares[x] for x in ((start + i) % points + 1 for i in range(threshold))}
        assert reconstruct(chosen, threshold) == secret
    with pytest.raises(ValueError, match="are needed"):
        reconstruct({x: shares[x] for x in range(1, threshold)}, threshold)


def test_fewer_shares_fit_every_secret():
    """For any other secret there is one more share with which the same t − 1 shares give it."""
    shares = share(b"s" * 32, [1, 2, 3, 4], 3)
    other = int.from_bytes(b"other".rjust(32), "big")
    # The parabola through (0, other), (1, y1), (2, y2), at 3: Lagrange weights 1, −3, 3.
    y1, y2 = (int.from_bytes(shares[x], "big") for x in (1, 2))
    third = (other - 3 * y1 + 3 * y2) % PRIME
    assert reconstruct({1: shares[1], 2: shares[2], 3: third.to_bytes(33, "big")}, 3) == b"other".rjust(32)


def test_shares_of_a_secret_are_fresh_each_time():
    assert share(b"s" * 32, [1, 2], 2) != share(b"s" * 32, [1, 2], 2)

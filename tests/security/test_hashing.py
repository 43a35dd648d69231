"""Toeplitz hashing against the direct product, the polynomial hash against AES-GCM."""

from __future__ import annotations

import math

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from qfedfm.core.errors import RequestError
from qfedfm.security.qkd.link.carryless_kernel import supported
from qfedfm.security.qkd.link.polynomial_hash import polynomial_hash, verification_tag
from qfedfm.security.qkd.link.toeplitz import ToeplitzHash, random_bits


def direct(seed, inputs, outputs, block):
    matrix = seed[np.arange(outputs)[:, None] + inputs - 1 - np.arange(inputs)[None]]
    return (matrix.astype(int) @ block.astype(int)) % 2


METHODS = [
    "fourier",
    pytest.param("carryless", marks=pytest.mark.skipif(not supported(), reason="no PCLMUL")),
]


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=100, deadline=None)
@given(st.integers(1, 1200), st.floats(0, 1), st.integers(0, 2**32))
def test_toeplitz_is_the_direct_product(method, inputs, share, number):
    rng = np.random.default_rng(number)
    outputs = max(1, math.ceil(share * inputs))
    seed = rng.integers(0, 2, inputs + outputs - 1, dtype=np.uint8)
    blocks = rng.integers(0, 2, (3, inputs), dtype=np.uint8)
    found = ToeplitzHash(seed, inputs, outputs, method)(blocks)
    for block, hashed in zip(blocks, found, strict=True):
        assert (hashed == direct(seed, inputs, outputs, block)).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [0, 1])
def test_toeplitz_of_constant_bits(method, value):
    seed, block = np.full(300_000 + 99_999, value, dtype=np.uint8), np.ones((2, 300_000), dtype=np.uint8)
    found = ToeplitzHash(seed, 300_000, 100_000, method)(block)
    assert (found == (300_000 * value) % 2).all()


@pytest.mark.parametrize("method", METHODS)
def test_toeplitz_in_several_pieces(method):
    rng = np.random.default_rng(1)
    inputs, outputs = 400_000, 150_000
    seed = rng.integers(0, 2, inputs + outputs - 1, dtype=np.uint8)
    blocks = rng.integers(0, 2, (3, inputs), dtype=np.uint8)
    member = ToeplitzHash(seed, inputs, outputs, method)
    found = member(blocks)
    assert member.rounding_error < 1e-3
    for i in (0, 1, 70_000, outputs - 1):
        row = seed[i : i + inputs][::-1].astype(int)
        assert found[:, i].tolist() == ((blocks.astype(int) @ row) % 2).tolist()


@pytest.mark.skipif(not supported(), reason="no PCLMUL")
@pytest.mark.parametrize(
    ("inputs", "outputs"), [(1_000_000, 300_001), (131_073, 131_073), (70_000, 64), (65, 1)]
)
def test_both_ways_to_a_toeplitz_product_agree(inputs, outputs):
    rng = np.random.default_rng(inputs)
    seed = rng.integers(0, 2, inputs + outputs - 1, dtype=np.uint8)
    blocks = rng.integers(0, 2, (2, inputs), dtype=np.uint8)
    carryless = ToeplitzHash(seed, inputs, outputs, "carryless")(blocks)
    assert (carryless == ToeplitzHash(seed, inputs, outputs, "fourier")(blocks)).all()


def test_carryless_multiplication_is_asked_of_the_processor_numba_compiles_for(monkeypatch):
    from numba import config

    monkeypatch.setattr(config, "CPU_FEATURES", "+avx2,+pclmul")
    assert supported()
    monkeypatch.setattr(config, "CPU_FEATURES", "")
    assert not supported()
    ToeplitzHash.fresh(100, 50)(random_bits(100))
    with pytest.raises(RequestError, match="does not multiply without carries"):
        ToeplitzHash(random_bits(149), 100, 50, "carryless")


def test_hashed_bits_look_random():
    """Monobit and runs tests (NIST SP 800-22, 2.1 and 2.3) at a level of 1e-6."""
    inputs, outputs = 200_000, 100_000
    rng = np.random.default_rng(4)
    biased = (rng.random(inputs) < 0.2).astype(np.uint8)
    bits = ToeplitzHash(rng.integers(0, 2, inputs + outputs - 1, dtype=np.uint8), inputs, outputs)(biased)
    share = bits.mean()
    assert math.erfc(abs(2 * bits.sum() - outputs) / math.sqrt(2 * outputs)) > 1e-6
    runs = 1 + (bits[1:] != bits[:-1]).sum()
    spread = 2 * math.sqrt(2 * outputs) * share * (1 - share)
    assert math.erfc(abs(runs - 2 * outputs * share * (1 - share)) / spread) > 1e-6


def test_toeplitz_refuses_wrong_sizes():
    with pytest.raises(RequestError, match="at most its 5 input bits"):
        ToeplitzHash.fresh(5, 6)
    with pytest.raises(RequestError, match="has 3 bits"):
        ToeplitzHash(random_bits(3), 5, 2)
    with pytest.raises(RequestError, match="blocks have 4 bits"):
        ToeplitzHash.fresh(5, 2)(np.zeros((1, 4), dtype=np.uint8))


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=300), st.binary(min_size=16, max_size=16))
def test_the_polynomial_hash_is_that_of_aes_gcm(message, key):
    """GMAC is the polynomial hash of the associated data, plus one encrypted block."""
    block = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    hash_key, nonce = block.update(bytes(16)), bytes(12)
    pad = block.update(nonce + bytes([0, 0, 0, 1]))
    ours = bytes(a ^ b for a, b in zip(polynomial_hash(hash_key, message), pad, strict=True))
    assert ours == AESGCM(key).encrypt(nonce, b"", message)


def test_verification_tags_tell_keys_apart():
    rng = np.random.default_rng(0)
    key, bits = rng.bytes(16), rng.integers(0, 2, 10_000, dtype=np.uint8)
    tag = verification_tag(key, bits, 64)
    assert len(tag) == 8 and verification_tag(key, bits.copy(), 64) == tag
    for place in (0, 1, 4_999, 9_999):
        other = bits.copy()
        other[place] ^= 1
        assert verification_tag(key, other, 64) != tag
    assert verification_tag(key, np.append(bits, np.uint8(0)), 64) != tag  # padding is not part of a key

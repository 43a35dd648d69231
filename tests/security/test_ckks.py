"""Homomorphic sums, where TenSEAL is installed; and what is said where it is not."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from qfedfm.core.errors import RequestError
from qfedfm.core.random import Streams
from qfedfm.security.summation import Ckks, SumAbortedError
from qfedfm.security.summation.wire import join, split

sys.path.insert(0, str(Path(__file__).parent))
from summing import add_up, job, true_sum, updates


def test_without_tenseal_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RequestError, match=r"needs the package tenseal, .* install qfedfm\[he\]"):
        Ckks().check(4)
    with pytest.raises(RequestError, match="would show that client's update"):
        Ckks().check(1)


@pytest.fixture
def protocol():
    pytest.importorskip("tenseal")
    return Ckks(flooding=0.0)


def test_without_flooding_the_sum_is_within_1e_7_and_takes_14_times_the_bytes(protocol):
    found = updates(3, 5000)
    total = add_up(protocol, found)
    assert np.abs(total.total - true_sum(found, range(3))).max() < 1e-7
    small = add_up(protocol, updates(2, 4096)).cost
    assert small.bytes_up["inputs"] / (2 * 4 * 4096) == pytest.approx(14.3, abs=0.15)


def test_flooding_has_the_size_that_it_says():
    pytest.importorskip("tenseal")
    found = updates(2, 4000)
    error = add_up(Ckks(flooding=1e-3), found).total - true_sum(found, range(2))
    assert error.std() == pytest.approx(1e-3, rel=0.1)


def test_one_decryptor_that_answers_is_enough(protocol):
    found = updates(4, 10)
    assert add_up(protocol, found, leaves={0: "decryption"}).clients == (0, 1, 2, 3)
    with pytest.raises(SumAbortedError, match="no client that was asked"):
        add_up(protocol, found, leaves={0: "decryption", 1: "decryption"})
    with pytest.raises(SumAbortedError, match="2 clients sent updates, and the sum needs 3"):
        add_up(protocol, found, leaves={0: "inputs", 1: "inputs"})


def test_broken_ciphertexts_and_wrong_decryptions_are_noticed(protocol):
    found = updates(3, 10)
    summation = protocol.open(Streams(0))
    what = job(found)
    server = summation.server(what)
    ends = {k: summation.client(what, k, found[k]) for k in found}
    replies = {k: ends[k].reply("inputs", b"") for k in found}
    (whole,) = split(replies[2])
    replies[2] = join(whole[:100])
    server.take("inputs", replies)
    asked = server.ask("decryption")
    assert set(asked) == {0, 1}
    told = {k: ends[k].reply("decryption", asked[k]) for k in asked}
    wrong = np.frombuffer(told[1], "<f8") + 0.5
    with pytest.raises(SumAbortedError, match="one of them is wrong"):
        server.take("decryption", {0: told[0], 1: wrong.tobytes()})
    server.take("decryption", told)
    total = server.result()
    assert total.clients == (0, 1) and "2" in total.notes["refused"]


def test_the_server_holds_no_secret_key(protocol):
    summation = protocol.open(Streams(0))
    found = updates(2, 4)
    server = summation.server(job(found))
    assert not server._context.has_secret_key() and summation._secret.has_secret_key()

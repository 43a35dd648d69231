"""Every bit once: threads, processes, kills, expiry."""

from __future__ import annotations

import os
import secrets
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from qfedfm.core.errors import RequestError
from qfedfm.security.qkd.store import KeyStore, Limits, NoKeysError, UsedKeyError


def test_delivered_once_to_each_side(tmp_path):
    store = KeyStore(tmp_path / "keys.db")
    bits = secrets.token_bytes(100)
    assert store.add("alice", "bob", bits) == 100
    assert store.stored_key_count("bob", "alice") == 3
    first, second = store.draw("alice", ["bob"], 2)
    assert first.key + second.key == bits[:64]
    assert store.fetch("alice", "bob", [first.key_id]) == [first]
    with pytest.raises(UsedKeyError):
        store.fetch("alice", "bob", [second.key_id, first.key_id])
    assert store.fetch("alice", "bob", [second.key_id]) == [second]  # the refused request took nothing
    for who in (("bob", "alice"), ("alice", "eve")):
        with pytest.raises(UsedKeyError):
            store.fetch(*who, [second.key_id])
    with pytest.raises(NoKeysError):
        store.draw("alice", ["bob"], 2)
    assert store.stored_key_count("alice", "bob") == 1
    assert store.draw("bob", ["alice"], 1)[0].key == bits[64:96]
    assert bits[:32] not in (tmp_path / "keys.db").read_bytes()
    assert (tmp_path / "keys.db").stat().st_mode & 0o077 == 0


def test_keys_of_several_pairs_in_one_delivery(tmp_path):
    store = KeyStore(tmp_path / "keys.db")
    fresh = {"b": secrets.token_bytes(32), "c": secrets.token_bytes(48)}
    store.add("a", "c", b"x" * 16)
    drawn = store.add_and_draw("a", fresh)
    assert drawn["b"].key == fresh["b"]
    assert drawn["c"].key == b"x" * 16 + fresh["c"][:32]  # the oldest bits first
    store.add("b", "c", bytes(32))
    [other] = store.draw("b", ["c"])
    with pytest.raises(UsedKeyError):
        store.fetch_each("c", {"a": drawn["c"].key_id, "b": drawn["b"].key_id})
    assert store.fetch_each("c", {"a": drawn["c"].key_id, "b": other.key_id}) == {"a": drawn["c"], "b": other}
    with pytest.raises(UsedKeyError):
        store.fetch("a", "c", [drawn["c"].key_id])
    assert store.add_and_draw("a", {}) == store.fetch_each("c", {}) == {}


def test_a_delivery_of_several_pairs_is_whole_or_none(tmp_path):
    store = KeyStore(tmp_path / "keys.db", Limits(max_key_count=2))
    with pytest.raises(NoKeysError):
        store.add_and_draw("a", {"b": bytes(64), "c": bytes(72)})  # a pool holds 64 bytes
    assert store.stored_key_count("a", "b") == store.stored_key_count("a", "c") == 0
    with pytest.raises(RequestError, match="size is 8"):
        store.add_and_draw("a", {"b": bytes(64), "c": bytes(1)})


def test_expiry_looks_at_no_key_that_is_still_good(tmp_path):
    """By an index: else every delivery would read through all keys that wait."""
    path = tmp_path / "keys.db"
    KeyStore(path)
    with closing(sqlite3.connect(path)) as connection:
        for name in ("pool", "keys"):
            [plan] = connection.execute(f"EXPLAIN QUERY PLAN DELETE FROM {name} WHERE expires < 1")
            assert f"USING INDEX {name}_expires" in plan[-1]


def test_several_slaves(tmp_path):
    store = KeyStore(tmp_path / "keys.db")
    store.add("a", "b", bytes(32))
    [key] = store.draw("a", ["b", "c"])
    assert store.fetch("a", "b", [key.key_id]) == store.fetch("a", "c", [key.key_id]) == [key]


def test_the_pool_never_holds_more_than_it_says(tmp_path):
    store = KeyStore(tmp_path / "keys.db", Limits(max_key_count=3))
    assert store.add("a", "b", bytes(50)) == 50
    assert store.add("a", "b", bytes(100)) == 46
    assert store.add("a", "b", bytes(100)) == 0
    assert store.stored_key_count("a", "b") == 3


@pytest.mark.parametrize(("number", "size"), [(0, 256), (200, 256), (1, 255), (1, 8), (1, 1 << 24)])
def test_bad_requests(tmp_path, number, size):
    store = KeyStore(tmp_path / "keys.db")
    store.add("a", "b", bytes(1000))
    with pytest.raises(RequestError, match=r"size is|number is"):
        store.draw("a", ["b"], number, size)
    assert store.stored_key_count("a", "b") == 31


def test_expiry(tmp_path):
    now = [1000.0]
    store = KeyStore(tmp_path / "keys.db", Limits(lifetime=10), clock=lambda: now[0])
    store.add("a", "b", bytes(64))
    [key] = store.draw("a", ["b"])
    now[0] += 11
    with pytest.raises(UsedKeyError):
        store.fetch("a", "b", [key.key_id])
    assert store.stored_key_count("a", "b") == 0


def test_a_file_that_is_no_store(tmp_path):
    (tmp_path / "notes.txt").write_text("not a database, but long enough to look at" * 20)
    with pytest.raises(RequestError, match="cannot be used as a key store"):
        KeyStore(tmp_path / "notes.txt")


def distinct(count):
    return b"".join(number.to_bytes(4, "big") * 8 for number in range(count))


def test_two_threads_never_get_the_same_key(tmp_path):
    store = KeyStore(tmp_path / "keys.db")
    store.add("a", "b", distinct(60))

    def ask(_):
        return [store.draw("a", ["b"])[0].key for _ in range(30)]

    with ThreadPoolExecutor(2) as pool:
        keys = [key for part in pool.map(ask, range(2)) for key in part]
    assert len(set(keys)) == 60 and {key[:4] * 8 for key in keys} == set(keys)


ASK = """
import sys
from qfedfm.security.qkd.store import KeyStore, NoKeysError
store = KeyStore(sys.argv[1])
while True:
    try:
        key = store.draw("a", ["b"])[0].key
    except NoKeysError:
        break
    print(key.hex(), flush=True)
"""


def test_two_processes_never_get_the_same_key(tmp_path):
    path = tmp_path / "keys.db"
    KeyStore(path).add("a", "b", distinct(80))
    asking = [
        subprocess.Popen([sys.executable, "-c", ASK, str(path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    keys = [line for process in asking for line in process.communicate(timeout=60)[0].split()]
    assert len(keys) == len(set(keys)) == 80


def test_a_kill_never_repeats_a_key(tmp_path):
    path = tmp_path / "keys.db"
    KeyStore(path).add("a", "b", distinct(2000))
    seen: list[str] = []
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", ASK, str(path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        seen.append(process.stdout.readline().strip())
        time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
        rest, _ = process.communicate(timeout=30)
        seen += [line for line in rest.split() if len(line) == 64]
    seen.append(KeyStore(path).draw("a", ["b"])[0].key.hex())
    assert len(seen) == len(set(seen)) > 3

"""A federation whose keys come from a key manager by its URL."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing

import pytest
import yaml

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from served import Served

import qfedfm
from qfedfm.cli.main import invoke
from qfedfm.core.errors import RequestError
from qfedfm.security.certificates import make_authority
from qfedfm.security.channel import ChannelConfig
from qfedfm.security.channel.config import KeyManagerConfig
from qfedfm.security.channel.errors import ChannelError, ShortageError
from qfedfm.security.channel.managed import ManagedLinks, _Offer, _requests
from qfedfm.security.qkd import budget
from qfedfm.security.qkd.ledger import Ledger
from qfedfm.security.qkd.store import Limits

CLIENTS = 2
BASE = {
    "name": "managed",
    "seed": 3,
    "data": {
        "source": "features",
        "features": {"samples": 20, "dimension": 8, "classes": 3, "test_samples": 30},
        "partition": {"kind": "iid", "clients": CLIENTS},
    },
    "model": {"adapter": {"kind": "none"}, "head": {"kind": "linear"}},
    "federation": {"rounds": 2},
    "device": "cpu",
}
SERVED = [f"client-{k}" for k in range(CLIENTS)]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    # Keys of at most 2048 bits, three at a time: a one-time pad is put together from several requests.
    limits = Limits(max_key_size=2048, max_key_per_request=3)
    pairs = [("server", name) for name in SERVED]
    found = Served(tmp_path_factory.mktemp("kme"), ["server", *SERVED, "client-9"], pairs, limits)
    yield found
    found.stop()


def options(served, **changed):
    folder = served.folder
    where = {"certificate": str(folder / "{sae}.pem"), "key": str(folder / "{sae}.key")}
    return {"url": served.url, "authority": str(folder / "authority.pem"), "patience": 0, **where, **changed}


def fill(served, octets):
    for name in SERVED:
        served.store.add("server", name, os.urandom(octets))


def empty(served):
    with closing(sqlite3.connect(served.store.path)) as connection, connection:
        connection.execute("DELETE FROM pool")


def run(path, **channel):
    return qfedfm.run({**BASE, "security": {"channel": channel}}, out=path)


def refusal(tmp_path, capsys, **channel):
    """Returns the exit code and the one sentence of a run with this channel."""
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump({**BASE, "security": {"channel": channel}}))
    out = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
    code = invoke(["run", str(file), "--out", str(out), "--quiet"])
    said = capsys.readouterr().err.strip()
    assert len(said.splitlines()) == 1, said
    return code, said


@pytest.mark.parametrize(
    "channel",
    [
        {"kind": "qkd"},
        {"kind": "qkd", "cipher": "otp"},
        {"kind": "hybrid"},
        {"kind": "qkd", "directions": "upload"},
    ],
    ids=lambda channel: "-".join(channel.values()),
)
def test_the_model_is_that_of_a_run_without_a_channel(channel, served, tmp_path):
    fill(served, 40_000)
    before = [served.store.stored_key_count("server", name) for name in SERVED]
    plain = run(tmp_path / "plain", kind="none")
    found = run(tmp_path / "run", **channel, key_manager=options(served))
    for name in ("head.safetensors", "checkpoint"):
        a, b = plain.folder / name, found.folder / name
        assert a.is_dir() == b.is_dir() and (a.is_dir() or a.read_bytes() == b.read_bytes())
    lines = [json.loads(line) for line in (found.folder / "rounds.jsonl").read_text().splitlines()[1:]]
    total = 0
    for line in lines:
        travelled = line["upload_bytes"] + line["download_bytes"]
        bits = {
            "qkd": budget.aes_gcm_bits(2 * CLIENTS),
            "qkd-otp": 8 * travelled + 256 * 2 * CLIENTS,
            "hybrid": 256 * CLIENTS,
            "qkd-upload": budget.aes_gcm_bits(CLIENTS),
        }["-".join(channel.values())]
        assert line["key_bits_used"] == bits and line["key_wait_seconds"] == 0
        assert "link_key_rate" not in line and "key_pool_bits" not in line
        total += bits
    assert found.summary["key_bits_used"] == total
    after = [served.store.stored_key_count("server", name) for name in SERVED]
    assert 256 * (sum(before) - sum(after)) == pytest.approx(
        total, abs=256 * CLIENTS
    )  # whole keys are counted
    written = (found.folder / "config.yaml").read_text()
    assert "PRIVATE" not in written and served.url in written


def test_no_keys_left_ends_the_run(served, tmp_path, capsys):
    empty(served)
    code, said = refusal(tmp_path, capsys, kind="qkd", key_manager=options(served))
    assert code == 1 and "no key for server and client-0" in said and "503" in said
    code, said = refusal(tmp_path, capsys, kind="qkd", key_manager=options(served), on_shortage="abort")
    assert code == 1 and "503" in said


def test_or_falls_back_and_says_so(served, tmp_path):
    empty(served)
    served.store.add(
        "server", "client-0", os.urandom(32)
    )  # one key is drawn and lost before the other is missing
    found = run(tmp_path / "run", kind="qkd", key_manager=options(served), on_shortage="fallback")
    lines = [json.loads(line) for line in (found.folder / "rounds.jsonl").read_text().splitlines()[1:]]
    assert all("503" in line["fallback"] for line in lines)
    assert [line["key_bits_used"] for line in lines] == [256, 0]


def test_waiting_ends_when_keys_come(served, monkeypatch):
    empty(served)
    naps = []

    def nap(seconds):
        naps.append(seconds)
        fill(served, 64)

    monkeypatch.setattr("qfedfm.security.channel.managed.time.sleep", nap)
    links = ManagedLinks(KeyManagerConfig(**options(served, patience=60)), Ledger(), wait=True)
    key = links.draw(0, "upload", 256, "x", 0)
    assert naps and key.client == key.server and len(key.client) == 32 and key.announced == 36


def test_the_wrong_certificate_is_named(served, tmp_path, capsys):
    code, said = refusal(tmp_path, capsys, kind="qkd", key_manager=options(served, client="client-9"))
    assert code == 2 and "401" in said and "server may not share keys with client-9" in said
    code, said = refusal(tmp_path, capsys, kind="qkd", key_manager=options(served, client="nobody"))
    assert code == 2 and "401" in said
    code, said = refusal(tmp_path, capsys, kind="qkd", key_manager=options(served, server="boss"))
    assert code == 2 and "key_manager.certificate" in said and "boss.pem: there is no such file" in said


def test_another_authority_and_no_answer_end_the_run(served, tmp_path, capsys):
    foreign = make_authority(tmp_path / "foreign").certificate
    code, said = refusal(tmp_path, capsys, kind="qkd", key_manager=options(served, authority=str(foreign)))
    assert code == 1 and "does not answer" in said and "certificate" in said
    code, said = refusal(tmp_path, capsys, kind="qkd", key_manager=options(served, url="https://localhost:1"))
    assert code == 1 and "localhost:1 does not answer" in said


def test_a_key_manager_that_gives_the_receiver_another_key_is_noticed(served, monkeypatch):
    fill(served, 64)
    links = ManagedLinks(KeyManagerConfig(**options(served)), Ledger(), wait=False)
    monkeypatch.setattr(links._of("server"), "dec_keys", lambda master, ids: [])
    with pytest.raises(ChannelError, match="it gave 256 and server 0") as caught:
        links.draw(0, "upload", 256, "x", 0)
    assert not isinstance(caught.value, ShortageError)


@pytest.mark.parametrize(
    ("octets", "offer", "expected"),
    [
        (32, _Offer(8, 256, 128), [(1, 32)]),
        (256, _Offer(8, 256, 128), [(1, 256)]),
        (257, _Offer(8, 256, 128), [(1, 129), (1, 128)]),
        (1000, _Offer(8, 256, 3), [(3, 250), (1, 250)]),
        (1001, _Offer(8, 256, 2), [(1, 251), (2, 250), (1, 250)]),
    ],
)
def test_requests_add_up(octets, offer, expected):
    assert _requests(octets, offer) == expected
    assert sum(number * size for number, size in expected) == octets


def test_what_does_not_add_up_is_refused():
    with pytest.raises(RequestError, match="keys of 256 to 256 bits do not add up to the 320 bits"):
        _requests(40, _Offer(32, 32, 10))
    assert _requests(96, _Offer(32, 32, 10)) == [(3, 32)]


@pytest.mark.parametrize(
    ("channel", "sentence"),
    [
        ({"kind": "ml-kem"}, "key_manager gives quantum keys, but kind is ml-kem"),
        ({"kind": "qkd", "distance_km": 50}, "distance_km describes a simulated link"),
        ({"kind": "qkd", "eve": {"kind": "intercept_resend"}}, "eve describes a simulated link"),
        ({"kind": "qkd", "key_manager": {"url": "http://localhost"}}, "begins with https://"),
        ({"kind": "qkd", "key_manager": {"key": "mine.key"}}, r"write \{sae\} for the name"),
        ({"kind": "qkd", "key_manager": {"client": "server"}}, "one name"),
    ],
)
def test_unsound_options_are_refused(channel, sentence):
    whole = {"url": "https://localhost", "certificate": "{sae}.pem", "key": "{sae}.key", "authority": "a.pem"}
    changed = {**channel, "key_manager": {**whole, **channel.get("key_manager", {})}}
    with pytest.raises((RequestError, ValueError), match=sentence):
        ChannelConfig.model_validate(changed)


def test_the_resolved_configuration_is_accepted_again():
    whole = {"url": "https://localhost", "certificate": "{sae}.pem", "key": "{sae}.key", "authority": "a.pem"}
    once = ChannelConfig.model_validate({"kind": "qkd", "key_manager": whole})
    assert ChannelConfig.model_validate(once.plain()) == once

"""ETSI GS QKD 014 with mutual TLS: codes, identities, and both ends of our own client."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from served import Served

from qfedfm.cli.main import invoke
from qfedfm.core.errors import RequestError, RunError
from qfedfm.security.certificates import Files, client_context, issue, make_authority
from qfedfm.security.qkd.key_manager_client import KeyManagerClient, RefusedIdentityError
from qfedfm.security.qkd.key_manager_server import LinkFeeder
from qfedfm.security.qkd.rates import preset
from qfedfm.security.qkd.store import KeyStore, Limits, NoKeysError, UsedKeyError

STATUS = (
    "source_KME_ID target_KME_ID master_SAE_ID slave_SAE_ID key_size stored_key_count max_key_count "
    "max_key_per_request max_key_size min_key_size max_SAE_ID_count"
).split()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    pairs = [("alice", "bob"), ("alice", "carol")]
    names = ("alice", "bob", "carol", "mallory")
    found = Served(tmp_path_factory.mktemp("kme"), names, pairs, Limits(max_key_count=50))
    yield found
    found.stop()


@pytest.fixture(autouse=True)
def filled(request, served):
    served.store.add("alice", "bob", os.urandom(320))


def test_status(served):
    found = served.client("alice").status("bob")
    assert list(found) == STATUS
    assert found["master_SAE_ID"] == "alice" and found["slave_SAE_ID"] == "bob"
    assert 0 < found["stored_key_count"] <= found["max_key_count"] == 50
    for _ in range(20):
        served.store.add("alice", "bob", os.urandom(1000))
    assert served.client("alice").status("bob")["stored_key_count"] == 50


def test_both_sides_get_a_key_once(served):
    keys = served.client("alice").enc_keys("bob", 2, 128)
    assert [len(key.key) for key in keys] == [16, 16]
    bob = served.client("bob")
    assert bob.dec_keys("alice", [key.key_id for key in keys]) == keys
    with pytest.raises(UsedKeyError, match="delivered before"):
        bob.dec_keys("alice", [keys[0].key_id])
    assert served.client("bob").enc_keys("alice")[0] != keys[0]  # either side may be the master


def test_get_and_post(served):
    code, found = served.ask("alice", "GET", "bob/enc_keys?number=1&size=64")
    assert code == 200 and set(found["keys"][0]) == {"key_ID", "key"}
    code, again = served.ask("bob", "GET", f"alice/dec_keys?key_ID={found['keys'][0]['key_ID']}")
    assert code == 200 and again == found


def test_additional_slaves(served):
    [key] = served.client("alice").enc_keys("bob", additional=["carol"])
    assert served.client("carol").dec_keys("alice", [key.key_id]) == [key]
    code, _ = served.ask("alice", "POST", "bob/enc_keys", {"additional_slave_SAE_IDs": ["mallory"]})
    assert code == 400


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("bob/enc_keys", {"size": 129}),
        ("bob/enc_keys", {"size": 8}),
        ("bob/enc_keys", {"number": 0}),
        ("bob/enc_keys", {"number": 1000}),
        ("bob/enc_keys", {"number": "many"}),
        ("bob/enc_keys", "{not json"),
        ("bob/dec_keys", {"key_IDs": []}),
        ("bob/dec_keys", {}),
        ("bob/dec_keys", {"key_IDs": [{"key_ID": "no-such-key"}]}),
    ],
)
def test_malformed_requests_are_400(served, path, body):
    code, found = served.ask("alice", "POST", path, body)
    assert code == 400 and found["message"]


@pytest.mark.parametrize(("who", "path"), [("mallory", "bob"), ("bob", "carol"), ("alice", "alice")])
@pytest.mark.parametrize(("method", "rest"), [("GET", "status"), ("POST", "enc_keys"), ("GET", "enc_keys")])
def test_the_wrong_sae_is_401(served, who, path, method, rest):
    code, _ = served.ask(who, method, f"{path}/{rest}", {} if method == "POST" else None)
    assert code == 401


def test_the_client_says_that_its_identity_was_refused(served):
    with pytest.raises(RefusedIdentityError, match="401"):
        served.client("mallory").status("bob")
    with pytest.raises(RefusedIdentityError, match="401"):
        served.client("mallory").dec_keys("bob", ["any"])


def test_another_sae_cannot_fetch(served):
    [key] = served.client("alice").enc_keys("bob")
    code, _ = served.ask("carol", "POST", "alice/dec_keys", {"key_IDs": [{"key_ID": key.key_id}]})
    assert code == 400
    code, _ = served.ask("mallory", "POST", "alice/dec_keys", {"key_IDs": [{"key_ID": key.key_id}]})
    assert code == 401
    assert served.client("bob").dec_keys("alice", [key.key_id]) == [key]


def test_no_keys_is_503(served):
    with pytest.raises(NoKeysError, match="503"):
        served.client("alice").enc_keys("carol")
    with pytest.raises(NoKeysError):
        served.client("alice").enc_keys("bob", 128, 1 << 20)


def test_another_authority_fails_the_handshake(served, tmp_path):
    foreign = make_authority(tmp_path)
    stranger = issue(tmp_path, "alice")
    with pytest.raises(RunError, match="does not answer"):
        KeyManagerClient(served.url, stranger, served.authority.certificate).status("bob")
    with pytest.raises(RunError, match="does not answer"):  # nor does the client trust another server
        KeyManagerClient(served.url, served.identities["alice"], foreign.certificate).status("bob")


def test_certificates(tmp_path, capsys):
    out = str(tmp_path / "certs")
    assert invoke(["certs", "--out", out, "--server", "localhost", "--client", "alice", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["identities"]) == {"localhost", "alice"}
    key = tmp_path / "certs" / "alice.key"
    assert key.stat().st_mode & 0o077 == 0
    assert invoke(["certs", "--out", out, "--client", "alice"]) == 2
    assert "identity of that name already" in capsys.readouterr().err
    assert invoke(["certs", "--out", out, "--client", "../alice"]) == 2
    with pytest.raises(RequestError, match="authority already"):
        make_authority(tmp_path / "certs")
    with pytest.raises(RequestError, match="cannot be used as a TLS authority"):
        client_context(Files(key, key), tmp_path / "nobody.pem")
    with pytest.raises(RequestError, match="https"):
        KeyManagerClient("http://localhost", Files(key, key), key)


def test_a_simulated_link_fills_the_store(tmp_path):
    store = KeyStore(tmp_path / "keys.db")
    feeder = LinkFeeder(store, ("a", "b"), preset("modern_fibre"), 5, 50_000)
    assert feeder.once() > 100
    assert store.stored_key_count("a", "b") > 3


@pytest.mark.slow
def test_kill_9_of_the_server_never_repeats_a_bit(tmp_path):
    folder, store = tmp_path / "certs", tmp_path / "keys.db"
    assert (
        invoke(["certs", "--out", str(folder), "--server", "localhost", "--client", "a", "--client", "b"])
        == 0
    )
    KeyStore(store).add("a", "b", b"".join(n.to_bytes(4, "big") * 8 for n in range(400)))
    seen: list[bytes] = []
    for _ in range(3):
        command = ["qkd", "serve", "--store", str(store), "--certs", str(folder), "--pair", "a:b"]
        command += ["--port", "0", "--no-link", "--json"]
        process = subprocess.Popen(
            [sys.executable, "-m", "qfedfm.cli.main", *command], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"].replace("127.0.0.1", "localhost")
        client = KeyManagerClient(url, Files(folder / "a.pem", folder / "a.key"), folder / "authority.pem")
        killer = threading.Timer(0.7, lambda pid=process.pid: os.kill(pid, signal.SIGKILL))
        killer.start()
        try:
            while True:
                seen += [key.key for key in client.enc_keys("b")]
        except RunError:
            pass
        process.wait(timeout=30)
        process.stdout.close()
    assert len(seen) == len(set(seen)) > 3

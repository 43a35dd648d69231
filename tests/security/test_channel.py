"""Sealed messages, key agreements, the ledger, and links in a simulated clock."""

from __future__ import annotations

import pytest

from qfedfm.core.errors import RequestError
from qfedfm.core.random import Streams
from qfedfm.security.channel import ChannelConfig
from qfedfm.security.channel.agreement import Identity, agree, check_signature, derive
from qfedfm.security.channel.errors import (
    BurntKeyError,
    EavesdropperError,
    IdentityError,
    ReorderError,
    ReplayError,
    ShortageError,
    TamperError,
    TruncationError,
)
from qfedfm.security.channel.links import KeyPools, Measured
from qfedfm.security.channel.rounds import Channel
from qfedfm.security.channel.sealed import OVERHEAD_BYTES, AesGcm, Context, OneTimePad, Opener, Sealer
from qfedfm.security.qkd import budget
from qfedfm.security.qkd.ledger import Draw, KeyReuseError, Ledger

CONTEXT = Context(3, "client-1", "server", "abcd", "key-1")
MESSAGES = [b"first message", b"second message", b"third"]


def ends(cipher):
    if cipher == "aes-gcm":
        return Sealer(AesGcm(b"k" * 32)), Opener(AesGcm(b"k" * 32))
    pads = [(bytes([n + 1]) * len(m), bytes([n + 7]) * 32) for n, m in enumerate(MESSAGES)]
    return Sealer(OneTimePad(pads)), Opener(OneTimePad(pads))


@pytest.fixture(params=["aes-gcm", "otp"])
def pair(request):
    return ends(request.param)


def test_messages_arrive_as_they_were(pair):
    sealer, opener = pair
    for message in MESSAGES:
        sealed = sealer.seal(message, CONTEXT)
        assert message not in sealed and len(sealed) == len(message) + OVERHEAD_BYTES
        assert opener.open(sealed, CONTEXT) == message


def test_replay_reorder_and_truncation(pair):
    sealer, opener = pair
    sealed = [sealer.seal(message, CONTEXT) for message in MESSAGES]
    assert opener.open(sealed[0], CONTEXT) == MESSAGES[0]
    with pytest.raises(ReplayError):
        opener.open(sealed[0], CONTEXT)
    with pytest.raises(BurntKeyError):  # and even an honest message is not opened any more
        opener.open(sealed[1], CONTEXT)


@pytest.mark.parametrize("cipher", ["aes-gcm", "otp"])
@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda s: s[1], ReorderError),
        (lambda s: s[0][:-1], TruncationError),
        (lambda s: s[0][:10], TruncationError),
        (lambda s: s[0] + b"x", TruncationError),
        (lambda s: b"XXXX" + s[0][4:], TamperError),
    ],
)
def test_other_bytes_are_refused_and_burn_the_key(cipher, change, error):
    sealer, opener = ends(cipher)
    sealed = [sealer.seal(message, CONTEXT) for message in MESSAGES]
    with pytest.raises(error):
        opener.open(change(sealed), CONTEXT)
    with pytest.raises(BurntKeyError):
        opener.open(sealed[0], CONTEXT)


@pytest.mark.parametrize("cipher", ["aes-gcm", "otp"])
def test_every_flipped_bit_is_noticed(cipher):
    sealer, _ = ends(cipher)
    sealed = sealer.seal(MESSAGES[0], CONTEXT)
    for bit in range(8 * len(sealed)):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << (bit % 8)
        with pytest.raises((TamperError, TruncationError, ReorderError)):
            ends(cipher)[1].open(bytes(changed), CONTEXT)


@pytest.mark.parametrize("cipher", ["aes-gcm", "otp"])
@pytest.mark.parametrize(
    "field",
    [{"round": 4}, {"sender": "client-2"}, {"receiver": "client-1"}, {"schema": "x"}, {"key_id": "y"}],
)
def test_a_message_belongs_to_its_round_peers_schema_and_key(cipher, field):
    sealer, opener = ends(cipher)
    sealed = sealer.seal(MESSAGES[0], CONTEXT)
    other = Context(**{**CONTEXT.__dict__, **field})
    with pytest.raises(TamperError):
        opener.open(sealed, other)


def test_a_pad_is_used_once():
    pad = OneTimePad([(b"abc", bytes(32))])
    pad.encrypt(0, b"xyz", b"")
    with pytest.raises(BurntKeyError, match="used up"):
        pad.encrypt(0, b"xyz", b"")
    with pytest.raises(TruncationError, match="pad of 3"):
        OneTimePad([(b"abc", bytes(32))]).encrypt(0, b"four", b"")


@pytest.mark.parametrize("kind", ["ml-kem", "x25519", "hybrid"])
@pytest.mark.parametrize("identity", ["ed25519", "ml-dsa"])
def test_agreements_give_fresh_keys(kind, identity):
    mine, server = Identity(identity), Identity(identity)
    found = [agree(kind, 0, "client-0", mine, server, (b"q" * 32, b"q" * 32)) for _ in range(2)]
    keys = {key for entry in found for key in (entry.upload, entry.download)}
    assert len(keys) == 4 and all(len(key) == 32 for key in keys)
    assert found[0].key_id != found[1].key_id


def test_a_hybrid_agreement_needs_both_copies_of_the_quantum_key():
    with pytest.raises(IdentityError, match="one key"):
        agree("hybrid", 0, "client-0", Identity("ed25519"), Identity("ed25519"), (b"q" * 32, b"r" * 32))


def test_derived_keys_depend_on_everything():
    base = (b"secret", 0, "client-0", b"t" * 32)
    changed = [
        (b"secres", *base[1:]),
        (base[0], 1, *base[2:]),
        (*base[:2], "client-1", base[3]),
        (*base[:3], b""),
    ]
    assert len({derive(*arguments) for arguments in [base, *changed]}) == 5
    assert derive(b"quantum" + b"kem", 0, "c", b"") != derive(b"Quantum" + b"kem", 0, "c", b"")


@pytest.mark.parametrize("identity", ["ed25519", "ml-dsa"])
def test_a_foreign_signature_is_refused(identity):
    mine, other = Identity(identity), Identity(identity)
    with pytest.raises(IdentityError, match="client-0"):
        check_signature(mine.public, other.sign(b"offer"), b"offer", "client-0")
    with pytest.raises(IdentityError):
        check_signature(mine.public, mine.sign(b"offer"), b"another offer", "client-0")


def test_a_key_id_is_recorded_once():
    ledger = Ledger()
    ledger.record(Draw("a", "client-0", "x", 256, 0))
    ledger.record(Draw("b", "client-0", "y", 8, 1))
    with pytest.raises(KeyReuseError):
        ledger.record(Draw("a", "client-1", "x", 256, 1))
    assert ledger.bits() == 264 and ledger.bits(1) == 8 and ledger.by_purpose() == {"x": 256, "y": 8}


def channel(monkeypatch, rate=1000.0, bits=10_000, abort=None, **options):
    calls = []

    def found(config, streams, listened):
        calls.append(listened)
        stops = abort if listened else None
        return Measured(0.0 if stops else rate, 1.0, 0 if stops else bits, stops, 0.01)

    monkeypatch.setattr("qfedfm.security.channel.links.measure", found)
    return Channel(ChannelConfig.model_validate(options), Streams(0)), calls


def one_round(ch, number=0, clients=(0, 1), up=100, down=60):
    ch.begin_round(number, dict.fromkeys(clients, down))
    for client in clients:
        assert ch.download(client, number, "s", bytes(down)) == bytes(down)
    ch.begin_uploads(number, dict.fromkeys(clients, up))
    for client in clients:
        assert ch.upload(client, number, "s", b"u" * up) == b"u" * up
    return ch.end_round(number)


@pytest.mark.parametrize(
    ("options", "bits"),
    [
        ({"kind": "qkd"}, budget.aes_gcm_bits(2)),
        ({"kind": "qkd", "directions": "upload"}, budget.aes_gcm_bits(1)),
        ({"kind": "qkd", "cipher": "otp"}, budget.one_time_pad_bits([100, 60])),
        ({"kind": "qkd", "cipher": "otp", "directions": "upload"}, 8 * 100 + 256),
        ({"kind": "hybrid"}, 256),
        ({"kind": "ml-kem"}, 0),
        ({"kind": "x25519"}, 0),
    ],
)
def test_drawn_bits_are_those_of_the_formulas(options, bits, monkeypatch):
    ch, _ = channel(monkeypatch, **options)
    for number in range(3):
        assert one_round(ch, number)["key_bits_used"] == 2 * bits
    assert ch.ledger.bits() == 3 * 2 * bits


def test_clients_with_messages_of_different_lengths_get_pads_of_their_own(monkeypatch):
    ch, _ = channel(monkeypatch, bits=100_000, kind="qkd", cipher="otp")
    down, up = {0: 60, 1: 10}, {0: 40, 1: 200}
    ch.begin_round(0, down)
    for client, size in down.items():
        assert ch.download(client, 0, "s", bytes(size)) == bytes(size)
    ch.begin_uploads(0, up)
    for client, size in up.items():
        assert ch.upload(client, 0, "s", bytes(size)) == bytes(size)
    assert ch.end_round(0)["key_bits_used"] == budget.one_time_pad_bits([*down.values(), *up.values()])


def test_key_rate_becomes_waiting_time(monkeypatch):
    ch, _ = channel(monkeypatch, rate=1000.0, bits=0, kind="qkd", cipher="otp", round_seconds=0.5)
    need = [8 * 60 + 256, 8 * 100 + 256]
    record = one_round(ch)
    # Nothing is there at first; half a second of training makes 500 bits before the upload.
    assert record["key_wait_seconds"] == pytest.approx((need[0] + need[1] - 500) / 1000, abs=2e-3)
    assert set(record["key_pool_bits"]) == {"0", "1"}
    with pytest.raises(ShortageError, match="says not to wait"):
        one_round(channel(monkeypatch, bits=0, kind="qkd", on_shortage="abort")[0])


def test_falling_back_is_recorded(monkeypatch):
    ch, _ = channel(monkeypatch, bits=0, kind="qkd", cipher="otp", on_shortage="fallback")
    record = one_round(ch)
    assert record["key_bits_used"] == 0 and "says not to wait" in record["fallback"]


def test_eve_stops_the_run_in_her_round(monkeypatch):
    options = {"kind": "qkd", "eve": {"kind": "intercept_resend"}, "eve_from_round": 2}
    ch, calls = channel(monkeypatch, abort="someone listens", **options)
    one_round(ch, 0)
    with pytest.raises(EavesdropperError, match="someone listens"):
        one_round(ch, 1)
    assert calls == [False, True]


def test_pools_are_bounded_and_resumed():
    pools = KeyPools(10.0, 100, Ledger(), start=500, levels={4: 7})
    assert pools.level(0) == 100 and pools.level(4) == 7
    pools.fill(5.0, [4])
    assert pools.levels == {4: 57}
    key_id, key = pools.draw(4, 16, "x", 0)
    assert len(key) == 2 and len(key_id) == 32 and pools.level(4) == 41
    with pytest.raises(ShortageError, match="pool_bits"):
        pools.wait_for({4: 1000}, may_wait=True)
    with pytest.raises(ShortageError):
        pools.draw(4, 48, "x", 0)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"kind": "hybrid", "cipher": "otp"}, "only kind qkd gives"),
        ({"kind": "ml-kem", "eve": {"kind": "intercept_resend"}}, "listens on a quantum link"),
        ({"kind": "qkd", "preset": "gyss"}, "did you mean 'gys'"),
    ],
)
def test_unsound_options_are_refused(options, sentence):
    with pytest.raises((RequestError, ValueError), match=sentence):
        ChannelConfig.model_validate(options)

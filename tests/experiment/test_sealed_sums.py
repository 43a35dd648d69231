"""Sum protocols inside a channel: the same model to the bit, all phases sealed, keys and bytes counted."""

from __future__ import annotations

import json

import pytest
import yaml

import qfedfm
from qfedfm.cli.main import invoke
from qfedfm.experiment.loading import experiment
from qfedfm.experiment.quantities import count
from qfedfm.experiment.running import run_experiment
from qfedfm.security.channel.sealed import OVERHEAD_BYTES, Sealer

BASE = {
    "name": "sealed-sum",
    "seed": 3,
    "data": {
        "source": "features",
        "features": {"samples": 30, "dimension": 8, "classes": 3, "test_samples": 60},
        "partition": {"kind": "iid", "clients": 6},
    },
    "model": {"adapter": {"kind": "none"}, "head": {"kind": "linear"}},
    "federation": {"rounds": 3, "faults": {"dropout": 0.2}},
    "client": {"optimizer": {"kind": "sgd", "lr": 0.05}},
    "device": "cpu",
}
LINK = {"preset": "modern_fibre", "distance_km": 10, "block": 50_000}
MASKS = {"kind": "masks"}
PADS = {"kind": "qkd", "cipher": "otp", **LINK}


def run(path, total, channel=None):
    security = {"sum": total, "channel": channel or {"kind": "none"}}
    return qfedfm.run({**BASE, "security": security}, out=path)


def model(found):
    return (found.folder / "head.safetensors").read_bytes()


def lines(found):
    return [json.loads(line) for line in (found.folder / "rounds.jsonl").read_text().splitlines()][1:]


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """Behind masks, without a channel."""
    return run(tmp_path_factory.mktemp("bare") / "run", MASKS)


@pytest.fixture
def sealed(monkeypatch):
    """Every message that is sealed: its length, and what it was bound to."""
    seen = []
    whole = Sealer.seal

    def seal(self, message, context):
        seen.append((len(message), context))
        return whole(self, message, context)

    monkeypatch.setattr(Sealer, "seal", seal)
    return seen


@pytest.mark.parametrize(
    "channel",
    [
        {"kind": "x25519"},
        {"kind": "qkd", **LINK},
        {"kind": "qkd", "directions": "upload", **LINK},
        {"kind": "hybrid", **LINK},
        PADS,
    ],
    ids=lambda channel: "-".join(channel.get(key, "") for key in ("kind", "cipher", "directions")).strip("-"),
)
def test_the_model_is_that_of_a_sum_without_a_channel(channel, bare, sealed, tmp_path):
    found = run(tmp_path / "run", MASKS, channel)
    assert model(found) == model(bare)
    both = channel.get("directions") != "upload"
    for line, other in zip(lines(found), lines(bare), strict=True):
        for key in ("participants", "dropped", "upload_bytes", "download_bytes", "sum"):
            assert line[key] == other[key]
        mine = [entry for entry in sealed if entry[1].round == line["round"] - 1]
        up = [size for size, context in mine if context.receiver == "server"]
        down = [size for size, context in mine if context.sender == "server"]
        assert sum(up) == line["upload_bytes"]
        assert sum(down) == (line["download_bytes"] if both else 0)
        offered = sum(context.schema.endswith(" offer") for _, context in mine)
        pads = 8 * sum(size for size, _ in mine) + 256 * len(mine)
        keys = {
            "x25519": 0,
            "hybrid": 256 * 6,
            "qkd": pads if channel.get("cipher") == "otp" else 256 * (offered + 6 * both),
        }
        assert line["key_bits_used"] == keys[channel["kind"]]
        if channel["kind"] == "qkd":
            assert line["channel_bytes"] == OVERHEAD_BYTES * len(mine)
        else:
            assert line["channel_bytes"] > OVERHEAD_BYTES * len(mine)
        phases = {context.schema.split()[1] for _, context in mine if " " in context.schema}
        assert phases == {"offer", *line["sum"]["bytes_up"]}


def test_keys_of_the_channel_and_of_the_sum_add_up(tmp_path):
    found = run(tmp_path / "run", {"kind": "masks", "keys": "qkd", "link": LINK}, {"kind": "qkd", **LINK})
    rounds, summary = lines(found), found.summary
    channel, total = (
        sum(line["key_bits_used"] for line in rounds),
        sum(line["sum"]["key_bits"] for line in rounds),
    )
    assert channel > 0 and summary["sum_key_bits"] == total > 0
    assert summary["key_bits_used"] == channel + total
    said = found.describe()
    assert f"aes-gcm: {count(channel)} key bits drawn" in said and f"{count(total)} key bits" in said
    page = (found.folder / "report.html").read_text()
    assert 'id="channel"' in page and 'id="sum"' in page


@pytest.mark.parametrize("total", [{"kind": "ghz_phase", "bound": 0.5, "verify": 20}, {"kind": "qft_sum"}])
def test_quantum_states_travel_beside_the_channel(total, tmp_path):
    plain, found = run(tmp_path / "plain", total), run(tmp_path / "sealed", total, {"kind": "x25519"})
    assert model(found) == model(plain)


def test_pads_that_run_out_between_two_phases_give_way_to_agreed_keys(bare, tmp_path):
    few = {**PADS, "pool_bits": 16_000, "round_seconds": 0.0, "on_shortage": "fallback"}
    found = run(tmp_path / "run", MASKS, few)
    assert model(found) == model(bare)
    for line in lines(found):
        assert "key bits" in line["fallback"]
    assert lines(found)[0]["key_bits_used"] > 256 * 12  # pads of the first messages


def test_a_resumed_run_is_the_same_to_the_bit(tmp_path):
    security = {
        "sum": {"kind": "masks", "keys": "qkd", "link": LINK},
        "channel": {**PADS, "round_seconds": 1e-6},
    }
    config = experiment({**BASE, "security": security})
    whole = qfedfm.run({**BASE, "security": security}, out=tmp_path / "whole")
    assert whole.summary["key_wait_seconds"] > 0

    class Stop(Exception):
        pass

    def stop(line):
        if line["round"] == 2:
            raise Stop

    part = tmp_path / "part"
    with pytest.raises(Stop):
        run_experiment(config, out=part, after_round=stop)
    run_experiment(config, out=part, resume=True)
    assert (part / "rounds.jsonl").read_bytes() == (whole.folder / "rounds.jsonl").read_bytes()


@pytest.mark.parametrize("phase", ["offer", "shares", "inputs", "unmasking"])
@pytest.mark.parametrize("sender", ["server", "client-2"])
def test_a_changed_message_is_refused(phase, sender, monkeypatch, tmp_path, capsys):
    if (phase, sender) == ("offer", "server"):
        return  # the server makes none
    whole = Sealer.seal

    def seal(self, message, context):
        found = whole(self, message, context)
        if context.schema.endswith(f" {phase}") and context.sender == sender:
            found = found[:-1] + bytes([found[-1] ^ 1])
        return found

    monkeypatch.setattr(Sealer, "seal", seal)
    file = tmp_path / "run.yaml"
    security = {"sum": MASKS, "channel": {"kind": "x25519"}}
    federation = {"rounds": 1}
    file.write_text(yaml.safe_dump({**BASE, "federation": federation, "security": security}))
    assert invoke(["run", str(file), "--out", str(tmp_path / "run"), "--quiet"]) == 1
    said = capsys.readouterr().err.strip()
    assert "the tag of a sealed message does not fit" in said and len(said.splitlines()) == 1


def test_machines_do_not_deliver_both_yet(tmp_path, capsys):
    file = tmp_path / "run.yaml"
    security = {"sum": MASKS, "channel": {"kind": "x25519"}}
    federation = {"engine": "flower", "rounds": 1}
    file.write_text(yaml.safe_dump({**BASE, "federation": federation, "security": security}))
    assert invoke(["run", str(file), "--out", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err.strip()
    assert "security.channel x25519 around security.sum masks" in said and len(said.splitlines()) == 1

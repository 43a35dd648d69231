"""Federated runs through a channel: the same model to the bit, every key bit recorded, Eve stops them."""

from __future__ import annotations

import json

import pytest
import yaml

import qfedfm
from qfedfm.cli.main import invoke
from qfedfm.experiment.quantities import count

BASE = {
    "name": "sealed",
    "seed": 3,
    "data": {
        "source": "features",
        "features": {"samples": 30, "dimension": 8, "classes": 3, "test_samples": 60},
        "partition": {"kind": "iid", "clients": 4},
    },
    "model": {"adapter": {"kind": "none"}, "head": {"kind": "linear"}},
    "federation": {"rounds": 3, "faults": {"dropout": 0.3}},
    "client": {"algorithm": {"kind": "scaffold"}, "optimizer": {"kind": "sgd", "lr": 0.05}},
    "device": "cpu",
}
LINK = {"preset": "modern_fibre", "distance_km": 10, "block": 50_000}


def run(path, **channel):
    return qfedfm.run({**BASE, "security": {"channel": channel}}, out=path)


def model(found):
    return (found.folder / "head.safetensors").read_bytes()


def lines(found):
    return [json.loads(line) for line in (found.folder / "rounds.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return run(tmp_path_factory.mktemp("plain") / "run", kind="none")


@pytest.mark.parametrize(
    "channel",
    [
        {"kind": "qkd", **LINK},
        {"kind": "qkd", "cipher": "otp", **LINK},
        {"kind": "hybrid", **LINK},
        {"kind": "ml-kem", "identity": "ml-dsa"},
        {"kind": "x25519"},
    ],
    ids=lambda channel: f"{channel['kind']}-{channel.get('cipher', 'aes')}",
)
def test_the_model_is_that_of_a_run_without_a_channel(channel, plain, tmp_path):
    found = run(tmp_path / "run", **channel)
    assert model(found) == model(plain)
    rounds = lines(found)[1:]
    assert found.summary["key_bits_used"] == sum(line["key_bits_used"] for line in rounds)
    assert found.summary["key_wait_seconds"] == sum(line["key_wait_seconds"] for line in rounds)
    for line, bare in zip(rounds, lines(plain)[1:], strict=True):
        asked, replied = len(line["cohort"]), len(line["cohort"]) - len(line["dropped"])
        expected = {
            ("qkd", "aes-gcm"): 256 * (asked + replied),
            ("qkd", "otp"): 8 * (line["upload_bytes"] + line["download_bytes"]) + 256 * (asked + replied),
            ("hybrid", "aes-gcm"): 256 * asked,
        }
        assert line["key_bits_used"] == expected.get((channel["kind"], channel.get("cipher", "aes-gcm")), 0)
        assert line["upload_bytes"] == bare["upload_bytes"]
    assert ('id="channel"' in (found.folder / "report.html").read_text()) is True
    bits = count(found.summary["key_bits_used"])
    said = f"sealed by {channel['kind']} with {channel.get('cipher', 'aes-gcm')}: {bits} key bits drawn"
    assert said in found.describe() and "sealed by" not in plain.describe()


def test_a_run_without_a_channel_says_nothing_about_keys(plain):
    assert "key_bits_used" not in plain.summary
    assert 'id="channel"' not in (plain.folder / "report.html").read_text()


def test_a_resumed_run_is_the_same_to_the_bit(tmp_path):
    channel = {"kind": "qkd", "cipher": "otp", "round_seconds": 1e-6, **LINK}
    whole = run(tmp_path / "whole", **channel)
    assert whole.summary["key_wait_seconds"] > 0
    part = tmp_path / "part"

    class Stop(Exception):
        pass

    def stop(line):
        if line["round"] == 2:
            raise Stop

    from qfedfm.experiment.loading import experiment
    from qfedfm.experiment.running import run_experiment

    config = experiment({**BASE, "security": {"channel": channel}})
    with pytest.raises(Stop):
        run_experiment(config, out=part, after_round=stop)
    run_experiment(config, out=part, resume=True)
    assert (part / "rounds.jsonl").read_bytes() == (whole.folder / "rounds.jsonl").read_bytes()


def test_an_eavesdropper_stops_the_run(tmp_path, capsys):
    file = tmp_path / "run.yaml"
    channel = {"kind": "qkd", **LINK, "eve": {"kind": "intercept_resend"}, "eve_from_round": 2}
    file.write_text(yaml.safe_dump({**BASE, "security": {"channel": channel}}))
    assert invoke(["run", str(file), "--out", str(tmp_path / "run"), "--quiet"]) == 1
    said = capsys.readouterr().err.strip()
    assert "someone may be listening" in said and len(said.splitlines()) == 1
    rounds = (tmp_path / "run" / "rounds.jsonl").read_text().splitlines()
    assert len(rounds) == 2  # round 0 and the round before Eve came


def test_or_falls_back_if_told_so(plain, tmp_path):
    eve = {"kind": "intercept_resend", "fraction": 0.7}
    found = run(tmp_path / "run", kind="qkd", **LINK, eve=eve, on_shortage="fallback")
    assert model(found) == model(plain)
    assert all("no key" in line["fallback"] for line in lines(found)[1:])
    assert "fell back" in (found.folder / "report.html").read_text()


def test_unsound_wirings_are_refused(tmp_path, capsys):
    file = tmp_path / "run.yaml"
    for channel, words in (
        ({"kind": "x25519", "cipher": "otp"}, "security.channel.cipher is otp"),
        ({"kind": "qdk"}, "security.channel.kind: input should be 'none', 'qkd'"),
    ):
        file.write_text(yaml.safe_dump({**BASE, "security": {"channel": channel}}))
        assert invoke(["run", str(file), "--out", str(tmp_path / "run")]) == 2
        assert words in capsys.readouterr().err

"""Federated runs behind a sum protocol: the same training, only the sum seen, everything recorded."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

import qfedfm
from qfedfm.cli.main import invoke
from qfedfm.experiment.loading import experiment
from qfedfm.experiment.running import run_experiment

BASE = {
    "name": "summed",
    "seed": 3,
    "data": {
        "source": "features",
        "features": {"samples": 50, "dimension": 8, "classes": 3, "test_samples": 60},
        "partition": {"kind": "iid", "clients": 10},
    },
    "model": {"adapter": {"kind": "none"}, "head": {"kind": "linear"}},
    "federation": {"rounds": 4, "faults": {"dropout": 0.2}},
    "client": {"algorithm": {"kind": "fedprox"}, "optimizer": {"kind": "sgd", "lr": 0.05}},
    "stages": [{"kind": "clip", "norm": 0.5}],
    "device": "cpu",
}
LINK = {"preset": "modern_fibre", "distance_km": 10, "block": 50_000}


def run(path, base=None, **options):
    return qfedfm.run({**(base or BASE), "security": {"sum": options}}, out=path)


def model(found):
    return (found.folder / "head.safetensors").read_bytes()


def numbers(found):
    return np.concatenate([x.ravel() for x in load_file(found.folder / "head.safetensors").values()])


def lines(found):
    return [json.loads(line) for line in (found.folder / "rounds.jsonl").read_text().splitlines()][1:]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return run(tmp_path_factory.mktemp("plain") / "run", kind="plain")


@pytest.fixture(scope="module")
def masked(tmp_path_factory):
    return run(tmp_path_factory.mktemp("masks") / "run", kind="masks")


def test_training_is_that_of_the_plain_run_but_for_rounding(plain, masked):
    assert "sum" not in lines(plain)[0] and "sum_protocol" not in plain.summary
    np.testing.assert_allclose(numbers(masked), numbers(plain), atol=2e-6)
    assert model(masked) != model(plain)
    for line, bare in zip(lines(masked), lines(plain), strict=True):
        for key in ("cohort", "participants", "dropped", "examples", "steps"):
            assert line[key] == bare[key]
        assert line["train_loss"] == pytest.approx(bare["train_loss"], abs=1e-5)
        assert line["client_loss"] == {} and "layers" not in line


def test_who_drops_out_changes_nothing_but_the_average(masked):
    rounds = lines(masked)
    assert sum(len(line["dropped"]) for line in rounds) >= 4
    moments = set()
    for line in rounds:
        found = line["sum"]
        assert {int(client) for client in found["left"]} == set(line["dropped"])
        assert not set(line["participants"]) & set(line["dropped"])
        assert found["relative_rmse"] < 1e-4 and found["clipped"] == 0
        moments |= set(found["left"].values())
    assert len(moments) >= 2 and moments <= {"offer", "keys", "shares", "inputs"}


def test_bytes_and_errors_are_recorded_and_reported(masked, plain):
    for line, bare in zip(lines(masked), lines(plain), strict=True):
        up, down = line["sum"]["bytes_up"], line["sum"]["bytes_down"]
        assert list(up) == ["keys", "shares", "inputs", "consistency", "unmasking"]
        assert up["inputs"] == 3 * 27 * len(line["participants"])
        assert line["download_bytes"] == bare["download_bytes"] + sum(down.values())
        assert line["upload_bytes"] > sum(up.values())  # the offers too
    summary = masked.summary
    assert summary["sum_protocol"] == "masks" and summary["sum_aborted_rounds"] == 0
    assert summary["sum_rmse"] == max(line["sum"]["rmse"] for line in lines(masked))
    assert summary["key_bits_used"] == 0
    assert "sums by masks: relative error up to" in masked.describe()
    page = (masked.folder / "report.html").read_text()
    assert 'id="sum"' in page and "elliptic curves" in page and "Who survived" in page


@pytest.mark.parametrize(
    "options",
    [
        {"keys": "ml-kem"},
        {"keys": "qkd", "link": LINK},
        {"keys": "qkd", "masks": "pads", "link": LINK},
        {"neighbours": 4},
    ],
    ids=lambda options: "-".join(str(v) for v in options.values() if not isinstance(v, dict)),
)
def test_keys_and_graphs_change_no_bit_of_the_model(options, masked, tmp_path):
    found = run(tmp_path / "run", kind="masks", **options)
    assert model(found) == model(masked)
    bits = [line["sum"]["key_bits"] for line in lines(found)]
    assert found.summary["key_bits_used"] == sum(bits)
    if options.get("keys") == "qkd":
        pairs = [bits % (256 + 8 * 81 * (options.get("masks") == "pads")) for bits in bits]
        assert pairs == [0] * 4 and all(bits)


def test_a_resumed_run_is_the_same_to_the_bit(tmp_path):
    options = {"kind": "masks", "keys": "qkd", "masks": "pads", "link": {**LINK, "round_seconds": 1e-6}}
    whole = run(tmp_path / "whole", **options)
    assert whole.summary["key_wait_seconds"] >= 0

    class Stop(Exception):
        pass

    def stop(line):
        if line["round"] == 2:
            raise Stop

    config = experiment({**BASE, "security": {"sum": options}})
    part = tmp_path / "part"
    with pytest.raises(Stop):
        run_experiment(config, out=part, after_round=stop)
    run_experiment(config, out=part, resume=True)
    assert (part / "rounds.jsonl").read_bytes() == (whole.folder / "rounds.jsonl").read_bytes()


def test_rounds_below_the_threshold_leave_the_model_as_it_was(tmp_path):
    base = {**BASE, "federation": {"rounds": 2, "faults": {"dropout": 0.9}}}
    found = run(tmp_path / "run", base, kind="masks")
    assert found.summary["sum_aborted_rounds"] == 2 and found.summary["sum_rmse"] is None
    for line in lines(found):
        assert line["participants"] == [] and line["update_norm"] == 0 and "needs 6" in line["sum"]["aborted"]
        assert "rmse" not in line["sum"]
    accuracies = {line["test_accuracy"] for line in lines(found)}
    assert len(accuracies) == 1
    assert "were aborted" in (found.folder / "report.html").read_text()


def test_homomorphic_sums_are_as_good_as_their_noise(plain, tmp_path):
    pytest.importorskip("tenseal")
    found = run(tmp_path / "run", kind="ckks", flooding=1e-7)
    np.testing.assert_allclose(numbers(found), numbers(plain), atol=1e-5)
    assert all(line["sum"]["rmse"] < 1e-6 for line in lines(found))


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"kind": "ghz_phase", "bound": 0.5, "shots": 4096, "depolarizing": 0.002, "verify": 40}, 0.01),
        ({"kind": "ghz_phase", "bound": 0.5, "robust": True, "clusters": 2, "loss": 0.01}, 1e-3),
        ({"kind": "qft_sum", "bits": 20}, 1e-4),
    ],
)
def test_quantum_sums_train_as_well_as_their_error(options, error, plain, tmp_path):
    found = run(tmp_path / "run", **options)
    for line, other in zip(lines(found), lines(plain), strict=True):
        assert line["participants"] == other["participants"]
        assert 0 < line["sum"]["rmse"] < error and line["sum"]["clipped"] == 0
        assert line["sum"]["states"] >= line["sum"]["shots"] > 0
    np.testing.assert_allclose(numbers(found), numbers(plain), atol=30 * error)
    again = run(tmp_path / "again", **options)
    assert model(again) == model(found)


def test_clipped_numbers_are_told(tmp_path):
    found = run(tmp_path / "run", kind="masks", bound=1e-3)
    assert found.summary["sum_clipped"] > 0
    assert "were clipped" in (found.folder / "report.html").read_text()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"client": {"algorithm": {"kind": "scaffold"}, "optimizer": {"kind": "sgd"}}},
            "scaffold sends more",
        ),
        ({"client": {"algorithm": {"kind": "fednova"}, "optimizer": {"kind": "sgd"}}}, "fednova rescales"),
        ({"stages": [{"kind": "topk"}]}, "topk packs each difference"),
        ({"federation": {"engine": "central"}}, "central has one client"),
        ({"federation": {"cohort": 1}}, "would be that client's update"),
        ({"aggregation": {"kind": "fedavg", "angles": "circular"}}, "reveals only their sum"),
        (
            {"model": {"adapter": {"kind": "lora"}}, "aggregation": {"kind": "flora"}},
            "flora needs each client",
        ),
        (
            {
                "data": {**BASE["data"], "partition": {"kind": "iid", "clients": 20_000}},
                "security": {"sum": {"kind": "masks", "bits": 16}},
            },
            "security.sum.bits is 16, but sums of 20000 clients",
        ),
        (
            {"security": {"sum": {"kind": "ghz_phase", "robust": True, "shots": 24, "depolarizing": 0.05}}},
            "would end at a wrong value (at most 0.1%)",
        ),
        ({"security": {"sum": {"kind": "mask"}}}, "did you mean 'masks'"),
    ],
)
def test_what_cannot_work_on_a_sum_is_refused(change, words, tmp_path, capsys):
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump({**BASE, "security": {"sum": {"kind": "masks"}}, **change}))
    assert invoke(["run", str(file), "--out", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err.strip()
    assert words in said and len(said.splitlines()) == 1


def test_certificates_are_not_promised(tmp_path, capsys):
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump({**BASE, "security": {"sum": {"kind": "masks"}}}))
    assert invoke(["run", str(file), "--verify", "--out", str(tmp_path / "run")]) == 2
    assert "security.sum masks hides them" in capsys.readouterr().err

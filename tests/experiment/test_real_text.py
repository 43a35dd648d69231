"""The main job on real text, as the README promises it (slow)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import qfedfm

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("QFEDFM_SHARED_DATA", ROOT.parent / "shared" / "data"))
needs_sst2 = pytest.mark.skipif(not (SHARED / "sst2").is_dir(), reason="SST-2 is not part of the project")
ignored = pytest.mark.filterwarnings("ignore")


@pytest.mark.slow
@ignored
def test_the_quickstart_beats_the_majority_class_by_25_points(tmp_path):
    run = qfedfm.run(ROOT / "experiments/quickstart.yaml", out=tmp_path / "run")
    summary = run.summary
    assert summary["test_accuracy"] >= summary["majority_accuracy"] + 0.25
    assert summary["clients"] == 10 and summary["rounds"] >= 5 and summary["train_examples"] >= 1500
    assert summary["quantum_parameters"] == 20
    [(label, probability)] = run.model().predict(["Return the eigenvalues of a symmetric matrix."])
    assert 0 < probability <= 1 and label in run.model().label_names


@pytest.mark.slow
@ignored
def test_behind_masks_keyed_by_qkd_the_quickstart_is_as_accurate(tmp_path):
    protocol = {"security.sum": {"kind": "masks", "keys": "qkd", "bits": 24, "threshold": 0.6}}
    file = ROOT / "experiments/quickstart.yaml"
    plain = qfedfm.run(qfedfm.load(file, {}), out=tmp_path / "plain").summary
    masked = qfedfm.run(qfedfm.load(file, protocol), out=tmp_path / "masks").summary
    assert abs(masked["test_accuracy"] - plain["test_accuracy"]) <= 0.005
    assert masked["sum_aborted_rounds"] == 0 and masked["sum_relative_rmse"] < 1e-3
    assert masked["key_bits_used"] == 256 * 45 * masked["rounds"]


def sst2(**changes):
    return {
        "data.source": str(SHARED / "sst2/train.tsv"),
        "data.test": str(SHARED / "sst2/test.tsv"),
        **changes,
    }


@pytest.mark.slow
@ignored
@needs_sst2
def test_sst2_federated_is_near_central(tmp_path):
    file = ROOT / "experiments/sst2.yaml"
    federated = qfedfm.run(qfedfm.load(file, sst2()), out=tmp_path / "federated").summary
    central = qfedfm.run(
        qfedfm.load(file, sst2(**{"federation.engine": "central"})), out=tmp_path / "central"
    ).summary
    assert federated["test_accuracy"] >= 0.84
    assert federated["test_accuracy"] >= central["test_accuracy"] - 0.015
    assert abs(federated["local_steps"] - central["local_steps"]) <= 10 * 10


@pytest.mark.slow
@ignored
@needs_sst2
def test_sst2_linear_head_on_frozen_features(tmp_path):
    run = qfedfm.run(qfedfm.load(ROOT / "experiments/sst2_linear.yaml", sst2()), out=tmp_path / "run")
    assert run.summary["test_accuracy"] >= 0.79

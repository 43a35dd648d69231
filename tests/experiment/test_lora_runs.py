"""Whole runs under LoRA rules on real text (slow): records, resume, personal models, the harness."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

import qfedfm
from qfedfm.core.errors import RequestError
from qfedfm.experiment.rounds import InterruptedRunError
from qfedfm.experiment.running import run_experiment

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("QFEDFM_SHARED_DATA", ROOT.parent / "shared" / "data"))
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def options(kind: str, rounds: int = 3, **more):
    return {
        "name": "lora",
        "seed": 3,
        "data": {
            "source": "docstrings",
            "max_length": 24,
            "validation_fraction": 0.1,
            "partition": {"kind": "dirichlet", "clients": 4, "alpha": 0.5},
        },
        "model": {"adapter": {"kind": "lora", "rank": 4, "last_layers": 1}, "precision": "float32"},
        "federation": {"rounds": rounds, "cohort": 3, "evaluate_every": 3},
        "client": {"steps": 3, "batch_size": 16, "optimizer": {"kind": "adamw", "lr": 5e-3}},
        "aggregation": {"kind": kind},
        "device": "cpu",
        **more,
    }


@pytest.mark.parametrize("kind", ["flora", "fedex_lora", "rolora", "fedsa_lora"])
def test_an_interrupted_run_resumes_to_the_same_bits(kind, tmp_path):
    whole = qfedfm.run(options(kind), out=tmp_path / "whole")
    import signal

    def stop(line):
        if line["round"] == 1:
            signal.raise_signal(signal.SIGINT)

    experiment = qfedfm.load(whole.folder)
    with pytest.raises(InterruptedRunError):
        run_experiment(experiment, out=tmp_path / "part", after_round=stop)
    rest = qfedfm.run(options(kind), out=tmp_path / "part", resume=True)
    for name in ("rounds.jsonl", "head.safetensors", "adapter/adapter_model.safetensors", "scores.json"):
        assert (whole.folder / name).read_bytes() == (rest.folder / name).read_bytes(), name
    lines = [json.loads(line) for line in (whole.folder / "rounds.jsonl").read_text().splitlines()]
    layers = [line.get("layers", {}) for line in lines[1:]]
    page = (whole.folder / "report.html").read_text()
    if kind == "fedsa_lora":
        assert not any(layers) and 'id="exactness"' not in page
    else:
        assert max(found["error"] for line in layers for found in line.values()) <= 1e-6
        assert 'id="exactness"' in page and whole.summary["aggregation_error"] <= 1e-6


def test_personal_models_are_kept_and_loaded(tmp_path):
    run = qfedfm.run(options("fedsa_lora"), out=tmp_path / "run")
    models = [qfedfm.load_model(run, client=k) for k in range(4)]
    assert not torch.equal(models[0].vector, models[1].vector)
    texts = ["Return the eigenvalues of a symmetric matrix."]
    assert models[0].logits(texts).shape == qfedfm.load_model(run).logits(texts).shape
    with pytest.raises(RequestError, match="none of client 9"):
        qfedfm.load_model(run, client=9)
    plain = qfedfm.run(options("fedit", rounds=1), out=tmp_path / "plain")
    with pytest.raises(RequestError, match="no personal models"):
        qfedfm.load_model(plain, client=0)


@pytest.mark.parametrize("texts", ["docstrings", "SST-2", "AG News"])
def test_the_harness_runs_end_to_end(texts, tmp_path):
    if texts != "docstrings" and not SHARED.is_dir():
        pytest.skip("SST-2 and AG News are not part of the project")
    import yaml

    content = yaml.safe_load((ROOT / "experiments/lora_rules.yaml").read_text())
    for settings in content["vary"]["texts"].values():
        for key in ("data.source", "data.test"):
            if str(settings.get(key, "")).startswith("../shared/data"):
                settings[key] = str(SHARED / Path(settings[key]).relative_to("../shared/data"))
    content["base"]["federation"]["rounds"] = 2
    content["published"] = str(ROOT / "experiments" / content["published"])
    content["select"]["over"] = {"client.optimizer.lr": [1e-3, 1e-2]}
    file = tmp_path / "lora_rules.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    found = qfedfm.compare(
        file, seeds=2, cells=[f"{texts}, alpha 0.5, equal ranks, same steps, F"], out=tmp_path
    )
    (name,) = found.content["tables"]
    cells = [row["cell"] for row in found.content["tables"][name]]
    assert cells[0] == "FedIT" and {"FFA-LoRA", "FLoRA", "FedEx-LoRA"} <= set(cells)
    assert len(found.content["not_run"]) > 300 and len(found.content["verdicts"]) == 14

"""Whole runs on small data: records, reuse, laws, and every bad request with its sentence."""

from __future__ import annotations

import json
import logging

import pytest
import torch
import yaml
from safetensors.torch import load_file

import qfedfm
from qfedfm.cli.main import invoke
from qfedfm.core.errors import RequestError

BASE = {
    "name": "small",
    "seed": 3,
    "data": {
        "source": "features",
        "features": {"samples": 30, "dimension": 8, "classes": 3, "test_samples": 60},
        "partition": {"kind": "dirichlet", "clients": 5, "alpha": 0.5, "min_samples": 8},
    },
    "model": {"adapter": {"kind": "none"}, "head": {"kind": "linear"}},
    "federation": {"rounds": 3},
    "client": {"batch_size": 16, "optimizer": {"kind": "adamw", "lr": 0.01}},
    "device": "cpu",
}
SUMMARY_KEYS = (
    "name config_hash seed rounds seconds test_accuracy test_loss majority_accuracy trainable_parameters "
    "quantum_parameters upload_bytes download_bytes refused_updates"
).split()


def changed(**paths):
    content = json.loads(json.dumps(BASE))
    for path, value in paths.items():
        place = content
        *groups, last = path.split("__")
        for group in groups:
            place = place[group]
        place[last] = value
    return content


def bits(run) -> dict[str, bytes]:
    return {
        name: (run.folder / name).read_bytes() for name in ("rounds.jsonl", "head.safetensors", "scores.json")
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return qfedfm.run(BASE, out=tmp_path_factory.mktemp("small") / "run")


def test_the_folder_holds_what_it_must(run):
    names = {path.name for path in run.folder.iterdir()}
    assert names >= {
        "config.yaml", "environment.json", "rounds.jsonl", "timings.jsonl", "summary.json", "checkpoint",
        "head.safetensors", "report.html", "clients.json", "scores.json", "model.json",
    }  # fmt: skip
    assert set(SUMMARY_KEYS) <= set(run.summary)
    assert run.summary["test_accuracy"] > run.summary["majority_accuracy"]
    assert len(list((run.folder / "checkpoint").iterdir())) == 2
    config = yaml.safe_load((run.folder / "config.yaml").read_text())
    assert config["model"]["precision"] in ("float32", "bfloat16") and config["device"] == "cpu"
    assert "seconds" not in (run.folder / "rounds.jsonl").read_text()


def test_the_python_view(run):
    assert list(run.rounds.index) == [0, 1, 2, 3]
    assert run.rounds["test_accuracy"].iloc[-1] == run.summary["test_accuracy"]
    assert {"train_seconds", "upload_bytes"} <= set(run.rounds.columns)
    assert len(run.plot().axes) == 2
    assert run.complete and run.experiment.seed == 3
    assert "test accuracy" in run.describe()


def test_the_chosen_executor_is_said_and_written_down(tmp_path, capsys):
    file = tmp_path / "quantum.yaml"
    head = {"kind": "quantum", "qubits": 2, "layers": 1}
    file.write_text(yaml.safe_dump(changed(federation={"rounds": 1}, model__head=head)))
    assert invoke(["run", str(file), "--out", str(tmp_path / "run")]) == 0
    assert "circuit on executor statevector" in capsys.readouterr().err
    written = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert written["model"]["head"]["executor"] == "statevector"
    named = changed(federation={"rounds": 1}, model__head={**head, "executor": "statevector"})
    again = qfedfm.run(named, out=tmp_path / "run")  # the same run: auto was resolved before hashing
    assert again.summary["rounds"] == 1


def test_one_seed_twice_gives_the_same_bits(run, tmp_path):
    again = qfedfm.run(BASE, out=tmp_path / "again")
    assert bits(run) == bits(again)
    other = qfedfm.run({**BASE, "seed": 4}, out=tmp_path / "other")
    assert bits(run) != bits(other)


def test_a_complete_run_is_not_repeated_and_force_starts_over(run):
    before = (run.folder / "timings.jsonl").read_text()
    qfedfm.run(BASE, out=run.folder)
    assert (run.folder / "timings.jsonl").read_text() == before
    expected = bits(run)
    qfedfm.run(BASE, out=run.folder, force=True)
    assert (run.folder / "timings.jsonl").read_text() != before
    assert bits(run) == expected


def test_the_default_folder_is_named_by_the_run_id(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = qfedfm.run(BASE)
    assert found.folder.parent.name == "runs"
    assert found.folder.name == f"small-{found.summary['run_id'][:8]}"


def test_clients_batched_or_one_by_one_and_central(tmp_path):
    together = qfedfm.run(BASE, out=tmp_path / "together")
    single = qfedfm.run(changed(federation__batch_clients=1), out=tmp_path / "single")
    a, b = (load_file(found.folder / "head.safetensors") for found in (together, single))
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-4, atol=1e-5)


def test_one_client_with_all_data_is_central_training(tmp_path):
    one = {**BASE["data"], "partition": {"kind": "iid", "clients": 1}}
    federated = qfedfm.run(changed(data=one), out=tmp_path / "one")
    central = qfedfm.run(
        changed(data=one, federation={"rounds": 3, "engine": "central"}), out=tmp_path / "central"
    )
    assert (federated.folder / "head.safetensors").read_bytes() == (
        central.folder / "head.safetensors"
    ).read_bytes()


@pytest.mark.parametrize(
    "head", ["quantum", "matched_mlp", "frozen_quantum", "unentangled", "random_features", "mlp"]
)
def test_every_head_trains(head, tmp_path):
    found = qfedfm.run(
        changed(
            model__head={"kind": head},
            federation={"rounds": 6},
            client__optimizer={"kind": "adamw", "lr": 0.05},
        ),
        out=tmp_path / "run",
    )
    losses = found.rounds["test_loss"]
    assert losses.iloc[-1] < losses.iloc[0]
    assert (found.summary["quantum_parameters"] > 0) == (head in ("quantum", "unentangled"))


def test_evaluate_again_gives_the_same_scores(run, capsys):
    assert invoke(["evaluate", str(run.folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["accuracy"]["value"] == run.summary["test_accuracy"]
    assert found["macro_f1"]["low"] <= found["macro_f1"]["value"] <= found["macro_f1"]["high"]
    assert invoke(["evaluate", str(run.folder)]) == 0
    assert "accuracy" in capsys.readouterr().out
    assert invoke(["evaluate", str(run.folder), "--shots", "100"]) == 2
    assert "need a head with a circuit" in capsys.readouterr().err


def test_evaluate_a_quantum_head_with_shots(tmp_path, capsys):
    found = qfedfm.run(changed(model__head={"kind": "quantum", "qubits": 3, "layers": 1}), out=tmp_path / "q")
    exact = ["evaluate", str(found.folder), "--json"]
    assert invoke(exact) == 0
    reference = json.loads(capsys.readouterr().out)
    assert reference["accuracy"]["value"] == found.summary["test_accuracy"]
    assert invoke([*exact, "--shots", "200000", "--seed", "1"]) == 0
    many = json.loads(capsys.readouterr().out)
    assert many["loss"]["value"] == pytest.approx(reference["loss"]["value"], abs=0.01)
    assert many["loss"]["value"] != reference["loss"]["value"]
    assert invoke([*exact, "--executor", "qpu9000"]) == 2
    assert "qpu9000" in capsys.readouterr().err


def test_runs_and_report_and_json(run, capsys):
    assert invoke(["runs", str(run.folder.parent), "--json"]) == 0
    [entry] = json.loads(capsys.readouterr().out)["runs"]
    assert entry["status"] == "complete" and entry["rounds"] == entry["of"] == 3
    assert invoke(["report", str(run.folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["report"].endswith("report.html")


def test_the_command_prints_one_json_object(tmp_path, capsys):
    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump(BASE))
    out = str(tmp_path / "run")
    for _ in range(2):
        assert invoke(["run", str(file), "--out", out, "--json"]) == 0
        captured = capsys.readouterr()
        assert json.loads(captured.out)["name"] == "small"
    assert invoke(["run", out, "--resume", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["folder"] == out


def texts(path, rows, header="text,label"):
    path.write_text("\n".join([header, *rows]) + "\n")
    return str(path)


def file_case(tmp_path, rows, **more):
    source = texts(tmp_path / "data.csv", rows, more.pop("header", "text,label"))
    data = {"source": source, "partition": {"kind": "iid", "clients": 2, "min_samples": 1}, **more}
    return changed(data=data, model={"adapter": {"kind": "none"}, "head": {"kind": "linear"}})


GOOD = [f"a text about number {i},{'even' if i % 2 == 0 else 'odd'}" for i in range(40)]


def latin(tmp_path):
    content = file_case(tmp_path, GOOD)
    (tmp_path / "data.csv").write_bytes("text,label\ncaf\xe9,a\nthe,b\n".encode("latin-1"))
    return content


BAD = {
    "missing file": (lambda t: changed(data={"source": str(t / "none.csv")}), "none.csv"),
    "no such column": (lambda t: file_case(t, GOOD, text="txt"), "txt"),
    "empty file": (lambda t: file_case(t, [], header=""), "data.csv"),
    "one class": (lambda t: file_case(t, [f"text {i},same" for i in range(30)]), "class"),
    "not UTF-8": (latin, "UTF-8"),
    "more clients than samples": (
        lambda t: file_case(t, GOOD, partition={"kind": "iid", "clients": 500, "min_samples": 1}),
        "500",
    ),
    "cohort": (lambda t: changed(federation={"rounds": 1, "cohort": 9}), "federation.cohort is 9"),
    "qubits": (lambda t: changed(model__head={"kind": "quantum", "qubits": 40}), "40"),
    "unknown model id": (
        lambda t: file_case(t, GOOD) | {"model": {"backbone": "nobody/nothing", "adapter": {"kind": "none"}}},
        "nobody/nothing",
    ),
    "adapters on features": (lambda t: changed(model={"adapter": {"kind": "lora"}}), "model.adapter"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_requests_exit_with_2_and_write_nothing(name, tmp_path, capsys):
    make, sentence = BAD[name]
    file = tmp_path / "bad.yaml"
    file.write_text(yaml.safe_dump(make(tmp_path)))
    out = tmp_path / "out" / "run"
    assert invoke(["run", str(file), "--out", str(out), "--quiet"]) == 2
    said = capsys.readouterr().err
    assert sentence in said, said
    assert "Traceback" not in said and len(said.strip().splitlines()) == 1, said
    assert not out.parent.exists()


def test_too_many_qubits_says_how_much_memory(tmp_path):
    with pytest.raises(RequestError, match=r"(?i)(bytes|[KMGTP]i?B)"):
        qfedfm.run(changed(model__head={"kind": "quantum", "qubits": 40}), out=tmp_path / "run")


def test_a_folder_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    with pytest.raises(RequestError, match=r"cannot be written|--out"):
        qfedfm.run(BASE, out=tmp_path / "file" / "run")
    assert (tmp_path / "file").read_text() == "x"


def test_a_folder_of_another_experiment_is_refused_and_left_alone(run, tmp_path):
    before = sorted((path.name, path.stat().st_mtime_ns) for path in run.folder.iterdir())
    for options in ({}, {"resume": True}, {"force": True}):
        with pytest.raises(RequestError, match="holds a different experiment"):
            qfedfm.run({**BASE, "seed": 99}, out=run.folder, **options)
    assert sorted((path.name, path.stat().st_mtime_ns) for path in run.folder.iterdir()) == before
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("x")
    with pytest.raises(RequestError, match="is not empty and holds no run"):
        qfedfm.run(BASE, out=tmp_path / "full", force=True)


def test_a_label_seen_only_in_test_is_a_warning(tmp_path, caplog):
    content = file_case(tmp_path, GOOD)
    content["data"]["test"] = texts(tmp_path / "test.csv", ["a text,odd", "another,prime", "a third,even"])
    from qfedfm.core.random import Streams
    from qfedfm.data import load
    from qfedfm.experiment.loading import experiment

    with caplog.at_level(logging.WARNING, logger="qfedfm"):
        data = load(experiment(content).data, Streams(0))
    assert any("prime" in warning for warning in data.warnings)


def test_a_comparison(tmp_path, capsys):
    content = {
        "name": "cmp",
        "base": {**BASE, "data": {**BASE["data"], "validation_fraction": 0.25}},
        "vary": {"model.head": {"linear": {"kind": "linear"}, "small MLP": {"kind": "mlp"}}},
        "select": {"over": {"client.optimizer.lr": [0.0001, 0.05]}},
        "seeds": 3,
    }
    file = tmp_path / "cmp.yaml"
    file.write_text(yaml.safe_dump(content))
    arguments = ["compare", str(file), "--out", str(tmp_path / "out"), "--json"]
    assert invoke(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["cell"] for row in found["table"]] == ["linear", "small MLP"]
    assert all(row["runs"] == 3 and row["settings"]["client.optimizer.lr"] == 0.05 for row in found["table"])
    assert len(found["search"]) == 2 * 2 * 3
    assert {path.suffix for path in (tmp_path / "out").glob("comparison.*")} == {".json", ".csv", ".html"}
    runs = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*/summary.json")}
    assert len(runs) == 12
    assert invoke(arguments) == 0
    assert runs == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*/summary.json")}
    content["base"]["data"]["validation_fraction"] = 0.0
    file.write_text(yaml.safe_dump(content))
    assert invoke(["compare", str(file), "--out", str(tmp_path / "other")]) == 2
    assert "validation" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_a_wrong_cell_is_found_before_anything_runs(tmp_path, capsys):
    file = tmp_path / "cmp.yaml"
    file.write_text(yaml.safe_dump({"name": "cmp", "base": BASE, "vary": {"client.batch": [1, 2]}}))
    assert invoke(["compare", str(file), "--out", str(tmp_path / "out")]) == 2
    assert "unknown key 'client.batch' (did you mean 'batch_size'?)" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()

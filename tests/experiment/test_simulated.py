"""Clients as tasks of Flower's simulation engine on Ray: the same bits, and what it refuses."""

from __future__ import annotations

import copy
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
import yaml
from served_machines import FILE

import qfedfm
from qfedfm.cli.main import invoke
from qfedfm.core.errors import RequestError, RunError
from qfedfm.experiment.loading import experiment
from qfedfm.experiment.machines.cluster import Cluster
from qfedfm.experiment.machines.member import answer_once
from qfedfm.experiment.machines.workplace import Joining
from qfedfm.experiment.running import run_experiment
from qfedfm.federation.engines.flower.transport import Loopback

CLIENTS = 4


def content(security=None, algorithm="scaffold", rounds=3):
    changed = copy.deepcopy(FILE)
    changed["data"]["partition"]["clients"] = CLIENTS
    changed["client"]["algorithm"]["kind"] = algorithm
    changed["federation"]["rounds"] = rounds
    changed["security"] = security or {}
    return changed


def head(folder):
    return (folder / "head.safetensors").read_bytes()


def test_a_process_that_answers_for_every_client_keeps_nothing_of_them(tmp_path):
    """What a client knows is on its disk: here any process may answer its next message."""

    def answering(k):
        return lambda message: answer_once(Joining(tmp_path / f"client-{k}", partition=k), message)

    machines = Loopback({100 + k: answering(k) for k in range(CLIENTS)})
    options = content({"channel": {"kind": "x25519"}})
    options["federation"] |= {"engine": "flower", "flower": {"wait": 0}}
    there = run_experiment(experiment(options), out=tmp_path / "run", transport=machines, report=False)
    assert head(there) == head(qfedfm.run(content(), out=tmp_path / "local").folder)


WRONG = {
    "on Ray a client has another process for each message": ["security.sum={kind: masks}"],
    "on Ray all clients read the experiment's data": ["data.partition={kind: machines, clients: 2}"],
}


@pytest.mark.parametrize("sentence", WRONG)
def test_what_ray_cannot_do_is_refused_in_a_sentence(sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    (tmp_path / "file.yaml").write_text(yaml.safe_dump(content(algorithm="sgd")))
    overrides = [part for override in WRONG[sentence] for part in ("-o", override)]
    assert invoke(["run", "file.yaml", "--ray", "here", *overrides]) == 2
    said = capsys.readouterr().err.strip()
    assert sentence in said and len(said.splitlines()) == 1


def test_without_ray_a_sentence_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ray" else name)
    (tmp_path / "file.yaml").write_text(yaml.safe_dump(content()))
    assert invoke(["run", "file.yaml", "--ray", "here"]) == 2
    said = capsys.readouterr().err.strip()
    assert "needs ray, which is not installed; install qfedfm[flower]" in said
    assert len(said.splitlines()) == 1 and not (tmp_path / "runs").exists()


def test_a_cluster_that_is_not_there_is_said_at_once():
    with socket.socket() as nobody:  # bound, and not listening: connections are refused
        nobody.bind(("127.0.0.1", 0))
        for address in ("127.0.0.1:{}", "ray://127.0.0.1:{}"):
            with pytest.raises(RunError, match="there is no Ray cluster at"):
                Cluster(address.format(nobody.getsockname()[1])).connect()
    with pytest.raises(RequestError, match="--ray head is no address; give here, auto, HOST:PORT"):
        Cluster("head").connect()


def start(folder, *options):
    """Starts the command in a process of its own, its output in ``said.txt``."""
    with (folder / "said.txt").open("wb") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "qfedfm.cli.main", "run", "file.yaml", "--ray", "here", *options],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=said,
            stderr=said,
        )


@pytest.mark.slow
@pytest.mark.parametrize("channel", ["none", "qkd"])
def test_ray_gives_the_model_of_one_process(channel, tmp_path):
    link = {} if channel == "none" else {"preset": "modern_fibre", "distance_km": 10, "block": 50_000}
    options = content({"channel": {"kind": channel, **link}})
    (tmp_path / "file.yaml").write_text(yaml.safe_dump(options))
    assert start(tmp_path, "--out", "run").wait() == 0
    said = (tmp_path / "said.txt").read_text()
    assert head(tmp_path / "run") == head(qfedfm.run(options, out=tmp_path / "local").folder)
    rounds = [json.loads(line) for line in (tmp_path / "run" / "rounds.jsonl").read_text().splitlines()]
    for line in rounds[1:]:
        assert line["participants"] == list(range(CLIENTS)) and line["refused"] == []
    for noise in ("Warning", "WARNING", "INFO", "Traceback", "raylet", "flwr"):
        assert noise not in said
    assert start(tmp_path, "--out", "run").wait() == 0  # complete: said again, and nothing is started
    again = (tmp_path / "said.txt").read_text()
    assert "test accuracy" in again and "round 1/3" not in again


@pytest.mark.slow
def test_an_interrupted_simulation_is_resumed_to_the_same_bits(tmp_path):
    options = content(rounds=40)
    (tmp_path / "file.yaml").write_text(yaml.safe_dump(options))
    process = start(tmp_path, "--out", "run")
    rounds = tmp_path / "run" / "rounds.jsonl"
    while process.poll() is None and (not rounds.exists() or len(rounds.read_text().splitlines()) < 4):
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    said = (tmp_path / "said.txt").read_text()
    assert "continue with --resume" in said and "Traceback" not in said
    assert len(rounds.read_text().splitlines()) < 40
    assert start(tmp_path, "--out", "run", "--resume").wait() == 0
    assert head(tmp_path / "run") == head(qfedfm.run(options, out=tmp_path / "local").folder)

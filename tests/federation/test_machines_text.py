"""Texts on other machines: LoRA rules to the bit, and clients whose data nobody else has (slow)."""

from __future__ import annotations

import csv
import runpy
from pathlib import Path

import pytest
from machines import Loopback, lines

from qfedfm.experiment.loading import experiment
from qfedfm.experiment.machines.member import Joining, Member
from qfedfm.experiment.running import run_experiment

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
TINY = Path(__file__).parents[1] / "models" / "tiny_models.py"
CLIENTS = 3


@pytest.fixture(scope="module")
def backbone(tmp_path_factory) -> Path:
    return runpy.run_path(str(TINY))["tiny"]("bert", tmp_path_factory.mktemp("backbone") / "bert")


def write(path: Path, count: int, seed: int, **columns) -> Path:
    texts = runpy.run_path(str(TINY))["sentences"](count, seed)
    with path.open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["text", "label"])
        table.writerows(
            [text, ("good", "bad")[("bad" in text) ^ (i % 5 == 0)]] for i, text in enumerate(texts)
        )
    return path


def options(backbone: Path, source: Path, partition: dict, engine: str, **more):
    return experiment(
        {
            "name": "texts",
            "seed": 5,
            "data": {"source": str(source), "max_length": 16, "partition": partition},
            "model": {
                "backbone": str(backbone),
                "adapter": {"kind": "lora", "rank": 4, "alpha": 8, "last_layers": 1},
                "head": {"kind": "linear"},
                "precision": "float32",
            },
            "federation": {
                "rounds": 3,
                "engine": engine,
                "batch_clients": 1,
                "cohort": 2,
                "flower": {"wait": 0},
            },
            "client": {"steps": 3, "batch_size": 8, "optimizer": {"kind": "adamw", "lr": 0.01}},
            "device": "cpu",
            **more,
        }
    )


RULES = {
    "fedit": {},
    "ffa_lora": {},
    "rolora": {},
    "flora": {},
    "fedex_lora": {},
    "hetlora": {"client": {"steps": 3, "batch_size": 8, "ranks": [4, 2, 1]}},
}


@pytest.mark.parametrize("rule", RULES)
def test_a_lora_rule_over_machines_is_that_of_one_process(rule, backbone, tmp_path):
    source, partition = write(tmp_path / "all.csv", 120, 1), {"kind": "iid", "clients": CLIENTS}
    more = {"aggregation": {"kind": rule}, **RULES[rule]}
    here = run_experiment(options(backbone, source, partition, "local", **more), out=tmp_path / "here")
    members = {k: Member(Joining(tmp_path / f"client-{k}", partition=k)) for k in range(CLIENTS)}
    transport = Loopback({node: member.answer for node, member in members.items()})
    there = run_experiment(
        options(backbone, source, partition, "flower", **more), out=tmp_path / "there", transport=transport
    )
    for name in ("head.safetensors", "adapter/adapter_model.safetensors"):
        assert (there / name).read_bytes() == (here / name).read_bytes(), name
    assert all(line["refused"] == [] for line in lines(there)[1:])


def test_clients_with_data_of_their_own(backbone, tmp_path):
    source = write(tmp_path / "public.csv", 60, 1)
    own = [write(tmp_path / f"own-{k}.csv", 20 + 10 * k, 2 + k) for k in range(CLIENTS)]
    said: list[str] = []
    members = {k: Member(Joining(tmp_path / f"client-{k}", data=own[k]), said.append) for k in range(CLIENTS)}
    machines = {"kind": "machines", "clients": CLIENTS}
    folder = run_experiment(
        options(backbone, source, machines, "flower"),
        out=tmp_path / "run",
        transport=Loopback({node: member.answer for node, member in members.items()}),
    )
    rounds = lines(folder)[1:]
    assert [len(line["participants"]) for line in rounds] == [2, 2, 2]
    assert {line["examples"] for line in rounds} <= {50, 60, 70}
    assert sum("what leaves this machine" in sentence for sentence in said) == CLIENTS
    kept = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    texts = [row[0] for row in csv.reader(own[0].open()) if len(row[0]) > 25]
    public = source.read_text()
    assert texts and not any(text.encode() in kept for text in texts if text not in public)


def test_a_label_that_the_server_does_not_know(backbone, tmp_path):
    source, own = write(tmp_path / "public.csv", 60, 1), tmp_path / "own.csv"
    own.write_text("text,label\nthe film,good\nthe plot,middling\n")
    said: list[str] = []
    members = {0: Member(Joining(tmp_path / "c0", data=write(tmp_path / "a.csv", 20, 3)))}
    members[1] = Member(Joining(tmp_path / "c1", data=own), said.append)
    machines = {"kind": "machines", "clients": 2}
    from qfedfm.core.errors import RunError

    with pytest.raises(RunError, match="1 clients did not join"):
        run_experiment(
            options(backbone, source, machines, "flower"),
            out=tmp_path / "run",
            transport=Loopback({node: member.answer for node, member in members.items()}),
        )
    assert any("the label 'middling' in column 'label' is not one of the federation's" in s for s in said)

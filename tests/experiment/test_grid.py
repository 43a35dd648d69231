"""Grids with bundles, cores and groups; verdicts on published claims; a budget of bytes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

import qfedfm
from qfedfm.cli.main import invoke
from qfedfm.core.errors import RequestError
from qfedfm.experiment.comparison_file import read_file, search_cells, unique
from qfedfm.experiment.grid import chosen, grid, in_core, possible
from qfedfm.experiment.loading import experiment, override
from qfedfm.experiment.verdicts import Claim, describe, judge, read_claims

BASE = {
    "data": {
        "source": "features",
        "features": {"samples": 25, "dimension": 8, "classes": 3, "test_samples": 45},
        "validation_fraction": 0.25,
        "partition": {"kind": "dirichlet", "clients": 4, "alpha": 0.5, "min_samples": 8},
    },
    "model": {"adapter": {"kind": "none"}, "head": {"kind": "linear"}},
    "federation": {"rounds": 2},
    "client": {"batch_size": 16, "optimizer": {"kind": "adamw", "lr": 0.01}},
    "device": "cpu",
}
VARY = {
    "skew": {"some": {"data.partition.alpha": 0.5}, "much": {"data.partition.alpha": 0.2}},
    "rule": {
        "mean": {"aggregation": {"kind": "fedavg"}},
        "soup": {"aggregation": {"kind": "soup"}, "federation.rounds": 1},
        "alike": {"aggregation": {"kind": "fedavg", "weighting": "uniform"}},
    },
}


def test_bundles_set_several_keys():
    cells = grid(VARY)
    assert [cell.label for cell in cells[:3]] == ["some, mean", "some, soup", "some, alike"]
    assert cells[1].settings == {
        "data.partition.alpha": 0.5, "aggregation": {"kind": "soup"}, "federation.rounds": 1,
    }  # fmt: skip
    assert cells[4].place == {"skew": "much", "rule": "soup"}
    with pytest.raises(RequestError, match=r"no key of an experiment.*a mapping of key paths"):
        grid({"rule": ["fedavg"]})


def test_the_core_and_what_is_compared_with_it():
    cells = grid(VARY)
    core = [{"rule": ("mean", "alike")}]
    assert [cell.label for cell in in_core(cells, core)] == ["some, mean", "some, alike"]
    assert [cell.label for cell in chosen(cells, core, (), "rule")] == ["some, mean", "some, alike"]
    assert [cell.label for cell in chosen(cells, core, ("much, soup",), "rule")] == [
        "much, mean",
        "much, soup",
    ]
    assert [c.label for c in possible(cells, [{"skew": ("much",), "rule": ("soup",)}])] == [
        "some, mean", "some, soup", "some, alike", "much, mean", "much, alike",
    ]  # fmt: skip
    for part, sentence in (({"rul": ("mean",)}, "axis 'rul'"), ({"rule": ("men",)}, "did you mean 'mean'")):
        with pytest.raises(RequestError, match=sentence):
            in_core(cells, [part])
    with pytest.raises(RequestError, match="no cell is called so"):
        chosen(cells, core, ("nothing",), "rule")


def test_a_comparison_in_groups_with_one_choice_a_rule(tmp_path, capsys):
    said = {"source": "a", "setting": "b", "lower": "mean", "values": [2, 1]}
    claims = [{**said, "higher": "soup", "group": "some"}, {**said, "higher": "alike", "group": "much"}]
    published = {"claims": claims}
    (tmp_path / "rows.yaml").write_text(yaml.safe_dump(published))
    content = {
        "name": "grouped",
        "base": BASE,
        "vary": VARY,
        "within": "rule",
        "core": [{"skew": ["some"], "rule": ["mean", "soup"]}],
        "select": {"over": {"client.optimizer.lr": [0.0001, 0.05]}, "per": ["rule"], "seeds": 1},
        "seeds": 2,
        "metrics": ["test_accuracy", "client_accuracy"],
        "published": "rows.yaml",
    }
    file = tmp_path / "grouped.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    results = tmp_path / "results.json"
    assert invoke(["compare", str(file), "--out", str(tmp_path / "out"), "--results", str(results)]) == 0
    shown = capsys.readouterr().out
    assert "not run: 4 cells" in shown
    assert "Published claims" in shown and "client_accuracy" in shown, shown
    found = json.loads(results.read_text())
    assert list(found["tables"]) == ["some"] and "search" not in found
    assert [row["cell"] for row in found["tables"]["some"]] == ["mean", "soup"]
    assert found["not_run"] == ["some, alike", "much, mean", "much, soup", "much, alike"]
    assert found["verdicts"][1]["verdict"] == "not comparable"
    assert all(row["settings"]["client.optimizer.lr"] == 0.05 for row in found["tables"]["some"])
    runs = list((tmp_path / "out").glob("*/summary.json"))
    assert len(runs) == 2 * 2 + 2  # two trials of two rules on one seed, and the second seed of both
    # Other cells share the choice that their rule made in the core.
    assert (
        invoke(["compare", str(file), "--out", str(tmp_path / "out"), "--cells", "much, soup", "--json"]) == 0
    )
    again = json.loads(capsys.readouterr().out)
    assert list(again["tables"]) == ["much"]
    assert {row["settings"]["client.optimizer.lr"] for row in again["tables"]["much"]} == {0.05}
    assert len(list((tmp_path / "out").glob("*/summary.json"))) == 6 + 2 * 2


def test_the_committed_comparison_of_lora_rules_is_whole():
    root = Path(__file__).parents[2] / "experiments"
    file = read_file(root / "lora_rules.yaml")
    cells = possible(grid(file.vary), file.impossible)
    core = chosen(cells, file.core, (), file.within)
    assert len(core) == 2 * 12 + 2 * 4
    assert len(unique(search_cells(cells, core, file.select, file, range(5)).values())) == 12 + 2 * 4
    for cell in cells:
        experiment(override(file.base, cell.settings))
    names = {cell.place["rule"] for cell in cells}
    for claim in read_claims(root / str(file.published)):
        assert claim.obstacle or {claim.higher, claim.lower} <= names
        assert claim.obstacle or any(claim.group in cell.label for cell in cells)


def rows(**values):
    return {"docs": {name: dict(enumerate(found)) for name, found in values.items()}}


def claim(values=(0.92, 0.90), **options):
    return Claim(
        source="s", setting="t", higher="a", lower="b", values=tuple(100 * v for v in values), **options
    )


@pytest.mark.parametrize(
    ("a", "verdict"),
    [
        ([0.925, 0.915, 0.93, 0.91], "reproduced"),
        ([0.95, 0.951, 0.949, 0.95], "order holds"),
        ([0.85, 0.851, 0.849, 0.85], "contradicted"),
        ([0.93, 0.87, 0.95, 0.85], "undecided"),
    ],
)
def test_verdicts(a, verdict):
    (found,) = judge([claim()], rows(a=a, b=[0.90, 0.90, 0.90, 0.90]))
    assert found["verdict"] == verdict and found["published_points"] == pytest.approx(2.0)
    assert verdict in describe([found])


def test_what_cannot_be_compared():
    groups = rows(a=[0.9, 0.8], b=[0.7, 0.6])
    assert judge([claim(obstacle="no such model")], groups)[0]["verdict"] == "not comparable"
    assert judge([claim(group="other")], groups)[0]["verdict"] == "not comparable"
    assert judge([claim()], rows(a=[0.9], b=[0.7]))[0]["verdict"] == "undecided"
    equal = judge([claim()], rows(a=[0.9, 0.9], b=[0.7, 0.7]))[0]
    assert equal["verdict"] == "undecided" and "equal" in equal["why"]


def test_a_budget_of_bytes_ends_the_run_and_resumes(tmp_path):
    whole = qfedfm.run({**BASE, "federation": {"rounds": 6}}, out=tmp_path / "whole")
    a_round = (whole.summary["upload_bytes"] + whole.summary["download_bytes"]) // 6
    budget = {"rounds": 6, "byte_budget": 3 * a_round - 1, "evaluate_every": 10}
    found = qfedfm.run({**BASE, "federation": budget}, out=tmp_path / "found")
    assert found.summary["rounds"] == 3
    assert found.rounds["test_accuracy"].iloc[-1] == whole.rounds["test_accuracy"].iloc[3]
    assert found.summary["client_accuracy"] is not None

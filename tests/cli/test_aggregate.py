"""``qfedfm aggregate bench``: sum protocols beside each other, as numbers and as files."""

from __future__ import annotations

import csv
import json

import pytest

from qfedfm.benchmarks.protocols import NAMED, Point, protocols, scaling
from qfedfm.cli.main import invoke
from qfedfm.security.summation import Masks

SMALL = ["aggregate", "bench", "--clients", "2,3,4", "--sizes", "10,200"]


def test_points_files_and_promises(tmp_path, capsys):
    chosen = ["--protocol", "plain={kind: plain}", "--protocol", "{kind: masks, bits: 32}"]
    assert invoke([*SMALL, *chosen, "--out", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["points"]) == 2 * 3 * 2 and found["left_out"] == []
    point = found["points"][-1]
    assert point["protocol"] == "kind: masks, bits: 32" and point["clients"] == 4 and point["size"] == 200
    assert point["upload_bytes"] > 4 * 200 and point["relative_rmse"] < 1e-6 and point["survives"] == 1
    plain = [p["upload_bytes"] for p in found["points"] if p["protocol"] == "plain" and p["size"] == 200]
    assert plain == [800] * 3
    [flat] = [r for r in found["scaling"] if r["protocol"] == "plain" and r["cost"] == "upload_bytes"]
    assert flat["over"] == "clients" and flat["exponent"] == 0
    assert found["promises"]["plain"]["hides_from"] == "nobody"
    assert json.loads((tmp_path / "protocols.json").read_text()) == found
    rows = list(csv.DictReader((tmp_path / "protocols.csv").read_text().splitlines()))
    assert len(rows) == 12 and set(rows[0]) == set(Point.__dataclass_fields__)
    page = (tmp_path / "protocols.html").read_text()
    assert "elliptic curves" in page and page.count("<svg") >= 3
    assert (tmp_path / "upload_bytes.svg").read_text().startswith("<svg")


def test_what_cannot_run_is_left_out_with_its_reason(capsys):
    chosen = ["--protocol", "{kind: masks, neighbours: 4}"]
    assert invoke([*SMALL, *chosen, "--most", "2000"]) == 0
    said = capsys.readouterr().out
    assert "neighbours is 4, but a round has 3 clients" in said and "K·K·d is above 2000" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--clients", "1"], "whole numbers from 2"),
        (["--sizes", "many"], "whole numbers from 1"),
        (["--protocol", "masks"], "write options as in security.sum"),
        (["--protocol", "x={kind: masks, bits: 20}"], "--protocol x"),
        (["--protocol", "{kind: masks, masks: pads}"], "only keys qkd gives"),
    ],
)
def test_wrong_requests(arguments, words, capsys):
    assert invoke(["aggregate", "bench", *arguments]) == 2
    said = capsys.readouterr().err.strip()
    assert words in said and len(said.splitlines()) == 1


def test_every_kind_is_compared_by_default():
    assert isinstance(protocols()["masks, QKD"], Masks)
    kinds = {protocol.kind for protocol in protocols().values()}
    assert {"plain", "masks", "ghz_phase", "qft_sum"} <= kinds and set(NAMED) - {"CKKS"} <= set(protocols())


def test_exponents_are_those_of_the_costs():
    points = [Point("x", k, 100, 0.0, 3.0 * k**2, 5.0, 0.0, 0, 0, 0, 0, 0.1, 0.0, 1) for k in (2, 4, 8)]
    found = {row["cost"]: row for row in scaling(points)}
    assert found["upload_bytes"]["exponent"] == 2 and found["download_bytes"]["exponent"] == 0
    assert "relative_rmse" not in found and found["seconds"]["size"] == 100

"""``qfedfm aggregate bench``: sum protocols beside each other, as numbers and as files."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict

import pytest

from qfedfm.benchmarks.protocols import NAMED, Point, protocols
from qfedfm.benchmarks.protocols_page import figures, page
from qfedfm.benchmarks.protocols_scaling import Growth, formulas, scaling
from qfedfm.cli.main import invoke
from qfedfm.security.summation import Masks

PADS = (
    "pads={kind: masks, keys: qkd, masks: pads, "
    "link: {preset: modern_fibre, distance_km: 10, block: 50000, pool_bits: 1000000000}}"
)
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
    assert (
        "elliptic curves" in page
        and page.count('src="data:image/svg+xml;base64,') >= 3
        and "<svg" not in page
    )
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
        (["--noise", "0.9"], "numbers from 0 to below 0.75"),
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
    points = [
        asdict(Point("x", k, 100, 0.0, 3.0 * k**2, 5.0, 0.0, 0, 0, 0, 0, 0.1, 0.0, 1)) for k in (2, 4, 8)
    ]
    found = {row["cost"]: row for row in scaling(points, {"upload_bytes": Growth("3 K²", 2, None)})}
    assert found["upload_bytes"]["exponent"] == 2 and found["download_bytes"]["exponent"] == 0
    assert found["upload_bytes"]["expected"] == 2 and found["upload_bytes"]["formula"] == "3 K²"
    assert found["download_bytes"]["expected"] is None
    assert "relative_rmse" not in found and found["seconds"]["size"] == 100
    assert scaling(points[:2], {}) == []


def test_exponents_are_fitted_on_the_longest_line_and_its_largest_points():
    def at(k, d, cost):
        return asdict(Point("x", k, d, 0.0, cost, 0.0, 0.0, 0, 0, 0, 0, 0.1, 0.0, 1))

    points = [at(2, d, 1000 + d) for d in (1, 10, 10**5, 10**6, 10**7, 10**8)]
    points += [at(4, d, 7.0) for d in (1, 10, 100)]
    [row] = [row for row in scaling(points, {}) if row["cost"] == "upload_bytes"]
    assert (row["over"], row["clients"], row["from"], row["to"]) == ("size", 2, 10**5, 10**8)
    assert row["exponent"] == pytest.approx(1, abs=0.01)


def test_growth_over_clients_size_shots_noise_and_loss_is_that_of_the_formulas(capsys):
    chosen = [
        "--protocol",
        "GHZ={kind: ghz_phase}",
        "--protocol",
        PADS,
    ]
    small = ["--clients", "4,8,16", "--sizes", "1000,4000,16000", "--shots", "256,1024,4096"]
    assert invoke(["aggregate", "bench", *small, *chosen, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {row["over"] for row in found["sweeps"]} == {"shots", "depolarizing", "loss"}
    rows = {(row["protocol"], row["cost"], row["over"]): row for row in found["scaling"]}
    for cost, over in (
        ("relative_rmse", "N"),
        ("relative_rmse", "1 - 4p/3"),
        ("states", "1 - loss"),
        ("relative_rmse", "clients"),
        ("qubits", "clients"),
        ("shots", "size"),
    ):
        row = rows["GHZ", cost, over]
        assert row["exponent"] == pytest.approx(row["expected"], abs=0.05 * max(1, abs(row["expected"]))), row
    assert rows["GHZ", "states", "1 - loss"]["expected"] == -10
    for over in ("clients", "size"):
        assert rows["pads", "key_bits", over]["exponent"] == pytest.approx(1, abs=0.2)
        assert rows["pads", "key_bits", over]["formula"] == "(256 + b d) (K - 1)"
    drawn = figures({"points": [], "sweeps": found["sweeps"]})
    assert list(drawn) == ["sweeps"] and drawn["sweeps"].startswith("<svg")
    assert "(256 + b d) (K - 1)" in page(found, drawn)


def test_every_named_protocol_has_formulas():
    assert all(formulas(options) for options in NAMED.values())


def test_heavy_protocols_are_left_out_earlier(capsys):
    chosen = ["--protocol", PADS, "--protocol", "{kind: masks}"]
    assert invoke([*SMALL, *chosen, "--most", "3200", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    left = {(e["protocol"], e["clients"], e["size"]) for e in found["left_out"]}
    assert left == {("pads", k, 200) for k in (2, 3, 4)}
    assert len(found["points"]) == 9 and found["sweeps"] == []

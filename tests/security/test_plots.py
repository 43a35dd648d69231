"""Each plot draws what it is given."""

from __future__ import annotations

import io

import pytest

from qfedfm.cli.main import invoke
from qfedfm.security.qkd import plots
from qfedfm.security.qkd.rates import PROTOCOLS, preset


def png(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return len(buffer.getvalue())


def test_rates_show_every_protocol_and_the_bound(tmp_path):
    figure = plots.rates_by_distance(preset("gys"), "gys", 100)
    names = {line.get_label() for line in figure.axes[0].lines}
    assert names == {"PLOB bound", *(set(PROTOCOLS) - {"bbm92"})}
    assert png(figure) > 10_000
    assert invoke(["qkd", "rate", "--plot", str(tmp_path / "rates.png")]) == 0
    assert (tmp_path / "rates.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("figure", "lines"),
    [
        (lambda: plots.finite_by_block(preset("lim2014"), [0, 50], [1e5, 1e7]), 2),
        (lambda: plots.efficiencies({"original": {0.01: 1.14, 0.03: 1.17}}, {0.01: 1.143}), 2),
        (lambda: plots.attack([0, 0.5], [0, 0.125], [100, 0]), 2),
        (lambda: plots.pool_levels({"5 km": [1, 2, 3]}), 1),
        (lambda: plots.frontier(preset("metropolitan"), [0, 50], [16, 8]), 2),
    ],
)
def test_the_other_plots(figure, lines):
    drawn = figure()
    assert len(drawn.axes[0].lines) == lines and png(drawn) > 5_000


def test_more_distance_affords_less_and_less_precision_more():
    drawn = plots.frontier(preset("metropolitan"), [0, 30, 60], [16, 8])
    fine, coarse = ([float(v) for v in line.get_ydata()] for line in drawn.axes[0].lines)
    assert fine[0] > fine[1] and all(c >= f for c, f in zip(coarse[:2], fine[:2], strict=True))

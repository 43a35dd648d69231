"""Plots of rates, reconciliation, attacks, key pools, and what a padded federation can afford."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from qfedfm.security.qkd import budget
from qfedfm.security.qkd.rates import PROTOCOLS, LinkParameters, plob, rate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def _figure(x: str, y: str, log: bool = False) -> tuple[Figure, Axes]:
    # Figures are made without pyplot: no global state, no display.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    if log:
        axes.set_yscale("log")
    return figure, axes


def _positive(values: Sequence[float]) -> list[float]:
    return [value if value > 0 else float("nan") for value in values]


def rates_by_distance(link: LinkParameters, name: str, longest: float = 500.0) -> Figure:
    """Draws every protocol and the repeaterless bound over distance."""
    figure, axes = _figure("distance, km", "secret bits per pulse", log=True)
    distances = np.linspace(1, longest, 60)
    axes.plot(distances, [plob(link.channel(d)) for d in distances], "k--", label="PLOB bound")
    for protocol in PROTOCOLS:
        if protocol == "bbm92":
            continue  # the same formula as e91
        rates = [rate(protocol, link, float(d)).key_rate_per_pulse for d in distances]
        axes.plot(distances, _positive(rates), label=protocol)
    axes.set_title(f"Key rate by distance, {name}")
    axes.set_ylim(1e-10, None)
    axes.legend()
    return figure


def finite_by_block(link: LinkParameters, distances: Sequence[float], blocks: Sequence[float]) -> Figure:
    """Draws finite-key decoy BB84 over the block size, as a share of the rate with infinitely many decoys."""
    figure, axes = _figure("block size, raw key bits", "share of the asymptotic rate")
    axes.set_xscale("log")
    for distance in distances:
        whole = link.model_copy(update={"sifting": 1.0})
        limit = rate("decoy-bb84", whole, distance, decoys="infinite").key_rate_per_pulse
        shares = [rate("decoy-bb84", link, distance, block=n).key_rate_per_pulse / limit for n in blocks]
        axes.plot(blocks, shares, marker=".", label=f"{distance:g} km")
    axes.legend()
    return figure


def efficiencies(measured: Mapping[str, Mapping[float, float]], published: Mapping[float, float]) -> Figure:
    """Draws Cascade's f by error rate for each variant, and the published values of the original."""
    figure, axes = _figure("error rate", "f = parities / n h(e)")
    for kind, points in measured.items():
        axes.plot(list(points), list(points.values()), marker="o", label=kind)
    axes.plot(list(published), list(published.values()), "kx", label="original, published")
    axes.legend()
    return figure


def attack(fractions: Sequence[float], errors: Sequence[float], bits: Sequence[int]) -> Figure:
    """Draws error rate and key length of sessions by the share of pulses that Eve measures."""
    figure, axes = _figure("share of pulses intercepted", "error rate")
    axes.plot(fractions, errors, "o-", label="measured error rate")
    axes.plot(fractions, [f / 4 for f in fractions], "k:", label="p / 4")
    other = axes.twinx()
    other.bar(fractions, bits, width=0.02, alpha=0.4, color="tab:green")
    other.set_ylabel("key bits (bars)")
    axes.legend(loc="upper left")
    return figure


def pool_levels(levels: Mapping[str, Sequence[float]]) -> Figure:
    """Draws the key bits of a link over rounds, one line a scenario."""
    figure, axes = _figure("round", "key bits on the link")
    for name, values in levels.items():
        axes.plot(range(1, len(values) + 1), values, marker=".", label=name)
    axes.legend()
    return figure


def frontier(
    link: LinkParameters,
    distances: Sequence[float],
    precisions: Sequence[int],
    *,
    round_seconds: float = 60.0,
    matrices: int = 24,
    width: int = 384,
    block: float = 1e7,
) -> Figure:
    """Draws the largest adapter rank that a one-time-padded federation can afford by distance and precision.

    Args:
        link: Every client's link.
        distances: Kilometres.
        precisions: Bits of a number as sent.
        round_seconds: Seconds of a round.
        matrices: Adapted matrices.
        width: Their rows and columns.
        block: Raw key bits of a session.
    """
    figure, axes = _figure("distance, km", "largest affordable rank", log=True)
    speeds = [
        rate("decoy-bb84", link, d, block=block).key_rate_per_pulse * link.pulse_rate for d in distances
    ]
    for bits in precisions:
        ranks = [budget.affordable_rank(s, round_seconds, matrices, width, bits) for s in speeds]
        axes.plot(distances, _positive(ranks), marker=".", label=f"{bits} bits a number")
    axes.set_title(f"One-time pad both ways, {round_seconds:g} s a round, {matrices} matrices of {width}")
    axes.legend()
    return figure

"""Plots of the diagnostics, as files; the suffix of the path (.png, .svg, .pdf) says of which kind."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qfedfm.quantum.diagnostics.entangling_capability import EntanglingCapability, haar_entanglement
from qfedfm.quantum.diagnostics.expressibility import Expressibility
from qfedfm.quantum.diagnostics.gradient_variance import GradientVariance, decay_rate, two_design_variance
from qfedfm.quantum.diagnostics.metric_spectrum import MetricSpectrum

if TYPE_CHECKING:
    from collections.abc import Iterator

_STYLE: Any = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "font.size": 10,
    "svg.hashsalt": "qfedfm",
}
# Okabe and Ito's colours, which people who see fewer colours tell apart too.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")


@contextmanager
def _figure(path: Path, width: float = 5.6, height: float = 3.8) -> Iterator[Any]:
    """Yields axes; saves and closes the figure."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure.subplots()
        path.parent.mkdir(parents=True, exist_ok=True)
        metadata = {"Date": None} if path.suffix == ".svg" else None
        figure.savefig(path, dpi=150, metadata=metadata)


def plot_gradient_variance(scan: Sequence[GradientVariance], path: Path, title: str = "") -> Path:
    """Plots mean variances over qubits, a line for each depth, with the line of 2-designs."""
    with _figure(path) as axes:
        depths = sorted({row.layers for row in scan})
        sizes = sorted({row.qubits for row in scan})
        for number, depth in enumerate(depths):
            rows = [row for row in scan if row.layers == depth]
            rate = decay_rate(rows)
            label = f"{depth} layer{'' if depth == 1 else 's'}"
            label += f", halves every {1 / rate:.1f} qubits" if rate and rate > 0.05 else ""
            axes.plot(
                [row.qubits for row in rows],
                [row.mean for row in rows],
                "o-",
                color=_COLOURS[number % len(_COLOURS)],
                label=label,
            )
        axes.plot(sizes, [two_design_variance(n) for n in sizes], "k--", lw=1, label="2-designs")
        axes.set(yscale="log", xlabel="qubits", ylabel="variance of d⟨O⟩/dw", title=title)
        axes.set_xticks(sizes)
        axes.legend()
    return path


def plot_expressibility(found: Expressibility, path: Path, title: str = "") -> Path:
    """Plots the histogram of fidelities over that of Haar-random states."""
    edges = np.linspace(0.0, 1.0, len(found.histogram) + 1)
    with _figure(path) as axes:
        axes.stairs(
            found.histogram, edges, fill=True, color=_COLOURS[0], alpha=0.55, label=f"{found.pairs} pairs"
        )
        axes.stairs(found.haar, edges, color=_COLOURS[1], lw=1.5, label="Haar-random")
        text = title + ("\n" if title else "") + f"expressibility {found.divergence:.4f} nats"
        # As far as there is anything to see.
        seen = max(
            k for k, pair in enumerate(zip(found.histogram, found.haar, strict=True)) if max(pair) > 1e-4
        )
        axes.set(xlabel="fidelity of two random states", ylabel="share", title=text)
        axes.set_xlim(0.0, min(1.0, float(edges[seen + 1]) * 1.05))
        axes.legend()
    return path


def plot_entangling_capability(
    found: Sequence[tuple[int, int, EntanglingCapability]], path: Path, title: str = ""
) -> Path:
    """Plots mean entanglement over layers, a line for each number of qubits, with Haar-random means.

    Args:
        found: Rows of qubits, layers and what was found.
        path: Where to.
        title: Above the plot.
    """
    with _figure(path) as axes:
        for number, size in enumerate(sorted({qubits for qubits, _, _ in found})):
            rows = [(layers, row) for qubits, layers, row in found if qubits == size]
            colour = _COLOURS[number % len(_COLOURS)]
            axes.errorbar(
                [layers for layers, _ in rows],
                [row.mean for _, row in rows],
                yerr=[row.spread for _, row in rows],
                fmt="o-",
                capsize=3,
                color=colour,
                label=f"{size} qubits",
            )
            axes.axhline(haar_entanglement(size), color=colour, ls=":", lw=1)
        axes.set(xlabel="layers", ylabel="Meyer–Wallach entanglement Q", ylim=(-0.03, 1.03), title=title)
        axes.set_xticks(sorted({layers for _, layers, _ in found}))
        axes.legend(title="dotted:\nHaar-random", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return path


def plot_metric(found: MetricSpectrum, path: Path, title: str = "") -> Path:
    """Plots the mean metric tensor of the weights that have a gradient."""
    metric = np.array(found.metric)
    largest = float(np.abs(metric).max()) or 1.0
    with _figure(path, 5.0, 4.2) as axes:
        axes.grid(False)
        image = axes.imshow(metric, cmap="RdBu_r", vmin=-largest, vmax=largest)
        axes.figure.colorbar(image, ax=axes, label="mean metric", shrink=0.85)
        text = title + ("\n" if title else "") + f"rank {found.rank} of {len(metric)} weights"
        axes.set(xlabel="weight with a gradient", ylabel="weight with a gradient", title=text)
    return path

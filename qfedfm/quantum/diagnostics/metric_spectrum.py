"""How many directions of weight space move the state: the spectrum of the mean metric tensor.

Its rank counts the weights that are not redundant (Haug, Bharti, Kim, 2021, arXiv:2102.01659, call it the
parameter dimension). Weights without gradient are left out, as everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from qfedfm.circuits import Circuit
from qfedfm.core.errors import RequestError
from qfedfm.quantum.diagnostics.sampling import Inputs, draw_parameters
from qfedfm.quantum.metric import metric_tensor, trained_weights


@dataclass(frozen=True)
class MetricSpectrum:
    """The mean Fubini-Study metric over random weights.

    Attributes:
        metric: The mean metric of the weights that have a gradient, rows.
        eigenvalues: Its eigenvalues, largest first.
        rank: The largest rank of a single point's metric: directions that move the state.
        samples: How many points.
    """

    metric: tuple[tuple[float, ...], ...]
    eigenvalues: tuple[float, ...]
    rank: int
    samples: int


def metric_spectrum(
    circuit: Circuit, *, samples: int = 20, generator: torch.Generator, inputs: Inputs = "random"
) -> MetricSpectrum:
    """Returns the spectrum of the mean metric of a circuit.

    Args:
        circuit: What is looked at.
        samples: Random points.
        generator: Source of the points.
        inputs: Inputs of the points: ``zero`` or ``random``.
    """
    kept = list(trained_weights(circuit))
    if not kept:
        raise RequestError(f"circuit {circuit.name} has no weights with a gradient, so it has no metric")
    x, w = draw_parameters(circuit, samples, generator, inputs)
    found = metric_tensor(circuit, x, w).squeeze(1)[:, kept][:, :, kept]
    mean = found.mean(0)
    values = torch.linalg.eigvalsh(mean).flip(0)
    ranks = torch.linalg.matrix_rank(found, atol=1e-9, hermitian=True)
    return MetricSpectrum(
        metric=tuple(tuple(row) for row in mean.tolist()),
        eigenvalues=tuple(values.tolist()),
        rank=int(ranks.max()),
        samples=samples,
    )

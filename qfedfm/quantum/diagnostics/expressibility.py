"""Expressibility: how uniformly states are covered. Sim, Johnson, Aspuru-Guzik, 2019, arXiv:1905.10876.

The Kullback-Leibler divergence (natural logarithm) of the fidelities ``F = |<psi(v)|psi(w)>|**2`` of states
at random weights from those of Haar-random states, ``P(F) = (D - 1) (1 - F)**(D - 2)``; both as histograms.
It is 0 if all states are reached alike, and ``(D - 1) log(bins)`` if only one is.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from qfedfm.circuits import Circuit
from qfedfm.core.errors import RequestError
from qfedfm.quantum.diagnostics.sampling import Inputs, chunks, draw_parameters
from qfedfm.quantum.running import states

#: What the paper uses.
BINS, PAIRS = 75, 5000


@dataclass(frozen=True)
class Expressibility:
    """What the fidelities of a circuit say.

    Attributes:
        divergence: The Kullback-Leibler divergence from Haar-random states, nats; small is expressive.
        bias: What the finite number of pairs alone adds to it, for Haar-random states, to first order.
        pairs: How many pairs of states.
        histogram: The share of fidelities in each bin.
        haar: The same for Haar-random states, exactly.
    """

    divergence: float
    bias: float
    pairs: int
    histogram: tuple[float, ...]
    haar: tuple[float, ...]


def expressibility(
    circuit: Circuit,
    *,
    pairs: int = PAIRS,
    bins: int = BINS,
    generator: torch.Generator,
    inputs: Inputs = "zero",
) -> Expressibility:
    """Returns the expressibility of a circuit over its weights.

    Args:
        circuit: What is looked at.
        pairs: Pairs of random states.
        bins: Bins of the fidelity between 0 and 1.
        generator: Source of the weights.
        inputs: Inputs of the states: ``zero``, or ``random`` and the same for both states of a pair.
    """
    if bins < 2:
        raise RequestError(f"bins must be at least 2, got {bins}")
    fidelities = pair_fidelities(circuit, pairs, generator, inputs)
    places = (fidelities * bins).long().clamp(0, bins - 1)
    shares = torch.bincount(places, minlength=bins).to(torch.float64) / pairs
    logs = haar_log_histogram(circuit.qubits, bins)
    taken = shares > 0
    divergence = float((shares[taken] * (shares[taken].log() - logs[taken])).sum())
    # The expected divergence of a sample from its own distribution: (bins in use - 1) / (2 pairs).
    used = (1.0 - (-pairs * logs.exp()).exp()).sum()
    return Expressibility(
        divergence=divergence,
        bias=float((used - 1.0).clamp(min=0.0) / (2 * pairs)),
        pairs=pairs,
        histogram=tuple(shares.tolist()),
        haar=tuple(logs.exp().tolist()),
    )


def pair_fidelities(
    circuit: Circuit, pairs: int, generator: torch.Generator, inputs: Inputs = "zero"
) -> Tensor:
    """Returns ``|<psi(v)|psi(w)>|**2`` for random weights v and w, shape ``(pairs,)``.

    A circuit without weights is looked at over its inputs instead: v and w are inputs then.
    """
    x, v = draw_parameters(circuit, pairs, generator, inputs)
    y, w = draw_parameters(circuit, pairs, generator, "zero")
    y = x if circuit.n_weights else y
    found = []
    with torch.no_grad():
        for part in chunks(circuit, pairs):
            one, other = states(circuit, x[part], v[part]), states(circuit, y[part], w[part])
            found.append((one.conj() * other).sum(-1).abs().square().squeeze(-1))
    return torch.cat(found).clamp(0.0, 1.0)


def haar_histogram(qubits: int, bins: int = BINS) -> Tensor:
    """Returns the share of Haar-random fidelities in each bin, shape ``(bins,)``."""
    return haar_log_histogram(qubits, bins).exp()


def haar_log_histogram(qubits: int, bins: int) -> Tensor:
    """Returns the logarithm of :func:`haar_histogram`, exact where the share itself would be 0."""
    # 1 - F is larger than a with probability a**(D - 1): the share of a bin is a difference of two of these.
    power = 2.0**qubits - 1.0
    above = 1.0 - torch.arange(bins, dtype=torch.float64) / bins
    ratio = (above - 1.0 / bins).clamp(min=0.0) / above
    return power * above.log() + torch.log1p(-(ratio**power))

"""Testing that the server sends GHZ states. After Pappa et al., 2012, arXiv:1112.5064.

Clients agree by common coins, which the server does not know, that a state is a test, and whether all measure
it in X or all in Z. A GHZ state gives even parity in X and equal bits in Z. Parity in X alone would never see
|+⟩ states; Z does: one client's |+⟩ beside a GHZ state of the others fails it half of the time, |+⟩ for all
with 1 - 2^(1-K).
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from qfedfm.security.summation.ghz_phase.visibility import visibility

Source = Literal["ghz", "plus_one", "plus_all"]
#: How often honest clients and an honest, noisy server may be stopped: once in a million rounds.
FALSE_ALARM = 1e-6


def failing(source: Source, clients: int, basis: Literal["X", "Z"], flip: float, V: float) -> float:
    """Returns the probability that one test state fails.

    Args:
        source: ``ghz``; ``plus_one`` (one client gets |+⟩, the others a GHZ state); ``plus_all``.
        clients: K, at least 2.
        basis: What all measure.
        flip: Probability that noise flips a bit in Z.
        V: What noise multiplies the parity in X by.
    """
    if basis == "X":
        return (1.0 - V) / 2.0  # all three states have even parity
    if source == "plus_all":
        return 1.0 - 2.0 ** (1 - clients)
    if source == "plus_one":
        return 1.0 - _equal(clients - 1, flip) / 2.0
    return 1.0 - _equal(clients, flip)


def _equal(clients: int, flip: float) -> float:
    return (1.0 - flip) ** clients + flip**clients if clients > 1 else 1.0


def flips(depolarizing: float, loss: float, channels: int = 1) -> float:
    """Returns the probability that a qubit's bit in Z is flipped: X or Y errors, or lost and read blindly."""
    return (1.0 - ((1.0 - 4.0 * depolarizing / 3.0) * (1.0 - loss)) ** channels) / 2.0


def mean_failing(
    source: Source, clients: int, depolarizing: float = 0.0, loss: float = 0.0, channels: int = 1
) -> float:
    """Returns the probability that a test state fails, its basis drawn by a fair coin."""
    flip, V = flips(depolarizing, loss, channels), visibility(clients, depolarizing, loss, channels)
    return sum(failing(source, clients, basis, flip, V) for basis in ("X", "Z")) / 2.0


def failures(
    source: Source,
    clients: int,
    states: int,
    rng: np.random.Generator,
    depolarizing: float = 0.0,
    loss: float = 0.0,
    channels: int = 1,
) -> int:
    """Returns how many of ``states`` test states fail: coins, then outcomes of each basis."""
    flip, V = flips(depolarizing, loss, channels), visibility(clients, depolarizing, loss, channels)
    in_z = int(rng.binomial(states, 0.5))
    return int(
        rng.binomial(in_z, failing(source, clients, "Z", flip, V))
        + rng.binomial(states - in_z, failing(source, clients, "X", flip, V))
    )


def allowed(states: int, chance: float) -> int:
    """Returns how many failures are put down to noise: more happen once in a million honest rounds.

    Args:
        states: Test states.
        chance: What noise alone makes of each, :func:`mean_failing` of ``ghz``.
    """
    from scipy.stats import binom

    if chance <= 0.0:
        return 0
    return int(binom.isf(FALSE_ALARM, states, chance))


def caught(source: Source, clients: int, states: int, **noise: float) -> float:
    """Returns the probability that a source is caught by so many test states.

    Without noise 1 - (1 - q/2)^states, with q what the source fails in Z.
    """
    from scipy.stats import binom

    depolarizing, loss = noise.get("depolarizing", 0.0), noise.get("loss", 0.0)
    channels = int(noise.get("channels", 1))
    honest = mean_failing("ghz", clients, depolarizing, loss, channels)
    chance = mean_failing(source, clients, depolarizing, loss, channels)
    return float(binom.sf(allowed(states, honest), states, chance))

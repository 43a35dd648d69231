"""The best intensities and probabilities of finite-key decoy BB84 (Lim et al., 2014)."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.optimize import minimize

from qfedfm.core.errors import RequestError
from qfedfm.security.qkd.entropy import binary_entropy
from qfedfm.security.qkd.rates.lim import Bounds, Model, Three, bounds, model
from qfedfm.security.qkd.rates.point import RatePoint
from qfedfm.security.qkd.rates.presets import LinkParameters

_STARTS = ((1.7, -0.4, -0.6, -0.7, 0.0), (3.0, 1.0, -1.5, -0.4, -0.7), (0.4, -1.2, 0.4, -0.9, 0.3))
"""Where the search begins, in the coordinates of :func:`_parameters`."""


def decoy_finite(
    link: LinkParameters,
    distance: float,
    block: float,
    secrecy: float = 1e-9,
    correctness: float = 1e-15,
    optimise: bool = True,
    clip: bool = True,
) -> RatePoint:
    """Returns the rate at a block of ``block`` raw key bits.

    Args:
        link: The link; its weakest intensity is kept.
        distance: Kilometres.
        block: n_X, bits of raw key.
        secrecy: eps_sec.
        correctness: eps_cor.
        optimise: Whether to search for the best basis bias, intensities and probabilities; else the
            link's own are used.
        clip: See :func:`qfedfm.security.qkd.rates.lim.bounds`.
    """
    if block < 100:
        raise RequestError(f"block is {block:g}; a finite key needs at least 100 raw bits")
    if optimise:
        qx, mus, ps = _best(link, distance, float(block), secrecy, correctness, clip)
    else:
        qx, mus, ps = link.basis_x, link.intensities, link.probabilities
    expected, found = evaluate(link, distance, block, qx, mus, ps, secrecy, correctness, clip)
    tau1 = sum(p * math.exp(-k) * k for k, p in zip(mus, ps, strict=True))
    details: dict[str, Any] = {
        "key_bits": found.key_bits,
        "pulses": expected.pulses,
        "raw_bits": block,
        "basis_x": qx,
        "intensities": list(mus),
        "probabilities": list(ps),
        "vacuum_events": found.vacuum,
        "single_photon_events": found.single,
        "single_photon_events_z": found.single_z,
        "single_photon_errors_z": found.errors_z,
        "leak_bits": found.leak,
        "clipped": clip,
    }
    return RatePoint(
        "decoy-bb84",
        distance,
        found.key_bits / expected.pulses,
        expected.error,
        expected.signal_gain,
        found.single / (expected.pulses * qx**2 * tau1),
        found.phase_error,
        details,
    )


def optimised(link: LinkParameters, distance: float, block: float) -> LinkParameters:
    """Returns the link with what is best for a block of n_X bits: basis, intensities, probabilities."""
    qx, mus, ps = _best(link, distance, float(block), 1e-9, 1e-15, True)
    return link.model_copy(update={"basis_x": qx, "intensities": mus, "probabilities": ps})


def evaluate(
    link: LinkParameters,
    distance: float,
    block: float,
    basis_x: float,
    intensities: Three,
    probabilities: Three,
    secrecy: float,
    correctness: float,
    clip: bool = True,
) -> tuple[Model, Bounds]:
    """Returns the model's counts and the bounds that follow from them."""
    expected = model(link, distance, block, basis_x, intensities, probabilities)
    leak = block * link.correction * binary_entropy(expected.error)
    return expected, bounds(expected.counts, intensities, probabilities, leak, secrecy, correctness, clip)


def _parameters(z: np.ndarray, weakest: float) -> tuple[float, Three, Three]:
    """Returns (q_x, intensities, probabilities) of unconstrained coordinates z (5,)."""
    qx = 1 / (1 + math.exp(-z[0]))
    weights = [math.exp(z[1]), 1.0, math.exp(z[2] - 1)]
    total = sum(weights)
    mu2 = weakest + 1e-4 + math.exp(z[3] - 0.9)
    mu1 = mu2 + weakest + 1e-4 + math.exp(z[4] - 1.3)
    return qx, (mu1, mu2, weakest), (weights[0] / total, weights[1] / total, weights[2] / total)


@lru_cache(maxsize=4096)
def _best(
    link: LinkParameters, distance: float, block: float, secrecy: float, correctness: float, clip: bool
) -> tuple[float, Three, Three]:
    weakest = link.intensities[2]

    def loss(z: np.ndarray) -> float:
        if np.abs(z).max() > 12:
            return 1.0 + float(np.abs(z).max())
        qx, mus, ps = _parameters(z, weakest)
        if mus[0] > 2:
            return 1.0 + mus[0]
        expected, found = evaluate(link, distance, block, qx, mus, ps, secrecy, correctness, clip)
        # Unclipped lengths keep a slope where there is no key yet.
        return -found.length / expected.pulses if found.length > 0 else -found.length / block

    starts = sorted((np.array(start) for start in _STARTS), key=loss)
    coarse: Any = {"xatol": 1e-3, "fatol": 1e-12, "maxfev": 400, "adaptive": True}
    fine: Any = {**coarse, "maxfev": 300}
    best: Any = minimize(loss, starts[0], method="Nelder-Mead", options=coarse)
    best = minimize(loss, best.x, method="Nelder-Mead", options=fine)
    if best.fun >= 0:
        for start in starts[1:]:
            other = minimize(loss, start, method="Nelder-Mead", options=coarse)
            best = other if other.fun < best.fun else best
    return _parameters(best.x, weakest)

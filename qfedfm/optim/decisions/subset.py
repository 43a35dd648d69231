"""Which updates to trust: the m of K that lie closest together, so that outliers stay outside.

``min Σ_{i<j} D_ij x_i x_j`` under ``Σ x = m``, D the squared distances; the aim is that of minimum-diameter
averaging (El Mhamdi et al., 2018, arXiv:1802.07927).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from qfedfm.core.errors import RequestError
from qfedfm.optim.qubo import Qubo, Solution, Solver


def squared_distances(updates: ArrayLike) -> np.ndarray:
    """Returns ``‖u_i − u_j‖²``, (K, K), of updates (K, d), worked out in float64."""
    u = np.asarray(updates, np.float64)
    products = u @ u.T
    norms = products.diagonal()
    return np.maximum(norms[:, None] + norms[None] - 2.0 * products, 0.0)


def problem(distances: ArrayLike, size: int) -> Qubo:
    """Returns the choice of ``size`` updates as a QUBO.

    Args:
        distances: D, (K, K), symmetric, finite, 0 on the diagonal.
        size: m.

    Raises:
        RequestError: Not such a table, or more updates asked for than there are.
    """
    D = np.asarray(distances, np.float64)
    square = D.ndim == 2 and D.shape[0] == D.shape[1]
    if not square or not np.isfinite(D).all() or not np.allclose(D, D.T) or D.diagonal().any():
        raise RequestError("distances must be a symmetric table of finite numbers with zeros on the diagonal")
    if not 1 <= size <= len(D):
        raise RequestError(f"a subset of {size} was asked for, but there are {len(D)} updates")
    return Qubo(np.triu(D, 1)).with_cardinality(size)


def choose_subset(distances: ArrayLike, size: int, solver: Solver, rng: np.random.Generator) -> Solution:
    """Returns the solver's subset; its ``chosen`` are row numbers of ``distances``."""
    return solver.solve(problem(distances, size), rng)

"""Which LoRA rank each client trains under a budget of bytes, or of key bits for one-time pads.

A client's rank is j units of ``step``; x_kj = 1 if it gets its j-th unit. The j-th unit of client k is worth
``gain_k / j`` (diminishing returns), and two clients with similar data tell the server the same, so that the
same unit of both is worth less by ``overlap · s_kl · √(gain_k gain_l) / j``:

    min −Σ_kj gain_k x_kj / j + overlap Σ_{k<l} s_kl √(gain_k gain_l) Σ_j x_kj x_lj / j

with at least one unit for everybody and no more units than the budget pays. Without overlap the best is
greedy; with it the problem is a QUBO. (The form is ours.) Shapes: K = clients, J = most units.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from qfedfm.core.errors import RequestError
from qfedfm.optim.qubo import Count, Qubo, Solution, Solver


@dataclass(frozen=True)
class Allocation:
    """Ranks and what they cost.

    Args:
        ranks: Per client, ready for ``client.ranks``.
        bytes: Of all clients' updates in one direction.
        budget: What was allowed, bytes.
        reordered: Whether the solver gave some client a later unit without an earlier one; its units were
            then counted and taken from the first.
        value: The objective at these ranks.
        solution: What the solver returned.
    """

    ranks: tuple[int, ...]
    bytes: int
    budget: int
    reordered: bool
    value: float
    solution: Solution


def problem(gains: ArrayLike, similarity: ArrayLike, units: int, most: int, overlap: float) -> Qubo:
    """Returns the allocation as a QUBO over x_kj, variable number ``k J + j − 1``.

    Args:
        gains: What the first unit of each client is worth, (K,), at least 0.
        similarity: s, (K, K), symmetric, from 0 to 1.
        units: How many units the budget pays for all clients together, at least K.
        most: Most units of a client, J.
        overlap: How much of a shared unit is lost, from 0.
    """
    gain, s = np.asarray(gains, float), np.asarray(similarity, float)
    K = len(gain)
    if gain.ndim != 1 or s.shape != (K, K) or not np.isfinite(gain).all() or (gain < 0).any():
        raise RequestError("gains must be numbers of at least 0, one for each row of similarity")
    if not np.allclose(s, s.T) or (s < -1e-9).any() or (s > 1 + 1e-9).any():
        raise RequestError("similarity must be a symmetric table of numbers from 0 to 1")
    share = 1.0 / np.arange(1, most + 1)
    shared = overlap * s * np.sqrt(np.outer(gain, gain))
    np.fill_diagonal(shared, 0.0)
    Q = np.zeros((K, most, K, most))
    for j in range(most):
        Q[:, j, :, j] = np.triu(shared, 1) * share[j] - np.diag(gain) * share[j]
    own = tuple(Count(1, most, tuple(range(k * most, (k + 1) * most))) for k in range(K))
    total = Count(0, min(units, K * most))
    return Qubo(Q.reshape(K * most, K * most), 0.0, (*own, total))


def allocate_ranks(
    gains: ArrayLike,
    similarity: ArrayLike,
    solver: Solver,
    rng: np.random.Generator,
    *,
    bytes_per_rank: int,
    budget_bytes: int | None = None,
    budget_key_bits: int | None = None,
    step: int = 2,
    largest: int = 16,
    overlap: float = 0.5,
) -> Allocation:
    """Returns the ranks that the solver finds best under a budget.

    Args:
        gains: What the first unit of each client is worth, (K,): for example its number of examples.
        similarity: How alike clients' data are, (K, K), from 0 to 1.
        solver: A QUBO solver.
        rng: Source of randomness.
        bytes_per_rank: Bytes that one rank of the adapter takes on the wire.
        budget_bytes: For all clients' updates of a round in one direction.
        budget_key_bits: In place of bytes: key bits for sealing them with one-time pads, eight a byte.
        step: Ranks in a unit.
        largest: Largest rank, a multiple of ``step``.
        overlap: How much of a shared unit is lost.

    Raises:
        RequestError: Not exactly one budget, or one that does not pay one unit for everybody.
    """
    if (budget_bytes is None) == (budget_key_bits is None):
        raise RequestError("give one budget: budget_bytes, or budget_key_bits")
    if step < 1 or largest < step or largest % step:
        raise RequestError(f"the largest rank {largest} must be a multiple of the step {step}")
    budget = int(budget_bytes if budget_bytes is not None else (budget_key_bits or 0) // 8)
    clients, most = len(np.asarray(gains)), largest // step
    units = budget // (bytes_per_rank * step)
    if units < clients:
        raise RequestError(
            f"a budget of {budget} bytes pays {units} units of rank {step}, fewer than the {clients} "
            f"clients; raise it to {clients * bytes_per_rank * step}"
        )
    found = problem(gains, similarity, units, most, overlap)
    solution = solver.solve(found, rng)
    given = solution.bits.reshape(clients, most)
    taken = given.sum(axis=1)
    ordered = (np.arange(most) < taken[:, None]).astype(np.uint8)
    ranks = tuple(int(step * count) for count in taken)
    return Allocation(
        ranks=ranks,
        bytes=bytes_per_rank * sum(ranks),
        budget=budget,
        reordered=bool((ordered != given).any()),
        value=float(found.value(ordered.reshape(-1))),
        solution=solution,
    )

"""Decisions as QUBO problems: the exact answer is brute force's, budgets hold, and outliers stay outside."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from qfedfm.core.errors import RequestError
from qfedfm.core.random import Streams
from qfedfm.optim.decisions import allocate_ranks, choose_clients, choose_subset
from qfedfm.optim.decisions.ranks import problem as rank_problem
from qfedfm.optim.decisions.subset import squared_distances
from qfedfm.optim.qubo import Annealing, Exact, Greedy, SwapSearch, Tabu

STREAMS = Streams(8)


def counts(clients: int = 10, classes: int = 4) -> np.ndarray:
    rng = STREAMS("counts")
    return rng.integers(1, 30, clients)[:, None] * (rng.dirichlet([0.3] * classes, clients) * 10).round()


def test_a_cohort_is_the_nearest_to_all_frequencies():
    table = counts()
    p = table.sum(0) / table.sum()

    def far(chosen) -> float:
        total = table[list(chosen)].sum(0)
        return float(((total - total.sum() * p) ** 2).sum())

    best = min(itertools.combinations(range(10), 4), key=far)
    for solver in (Exact(), SwapSearch(), Tabu()):
        found = choose_clients(table, 4, solver, STREAMS("clients"))
        assert len(found.chosen) == 4 and found.value == pytest.approx(far(found.chosen))
        assert found.value == pytest.approx(far(best))
    assert far(best) < 0.5 * far((0, 1, 2, 3))


def test_outliers_stay_outside():
    rng = STREAMS("updates")
    updates = rng.normal(size=(12, 50))
    updates[[2, 7, 9]] += 4.0
    D = squared_distances(updates)
    np.testing.assert_allclose(D, ((updates[:, None] - updates[None]) ** 2).sum(-1), atol=1e-9)
    for solver in (Exact(), SwapSearch(), Tabu(), Annealing()):
        found = choose_subset(D, 9, solver, STREAMS("subset"))
        assert set(found.chosen) == set(range(12)) - {2, 7, 9}
        assert found.value == pytest.approx(sum(D[i, j] for i, j in itertools.combinations(found.chosen, 2)))


def test_ranks_without_overlap_are_greedy():
    """Gains 8, 4, 2 and five units: 8, 4, 4 (second), 2 and 8/3 beat all others."""
    found = allocate_ranks(
        [8.0, 4.0, 2.0],
        np.eye(3),
        Exact(),
        STREAMS("ranks"),
        bytes_per_rank=100,
        budget_bytes=1000,
        step=2,
        largest=8,
        overlap=0.0,
    )
    assert found.ranks == (6, 2, 2) and found.bytes == 1000 and not found.reordered
    assert found.value == pytest.approx(-(8 + 4 + 8 / 3 + 4 + 2)) == found.solution.value


def test_similar_clients_share_and_budgets_hold():
    s = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    shared = {"bytes_per_rank": 10, "step": 2, "largest": 8, "overlap": 0.9}
    exact = allocate_ranks([5.0, 5.0, 5.0], s, Exact(), STREAMS("e"), budget_key_bits=8 * 120, **shared)
    assert exact.budget == 120 and exact.bytes <= 120 and max(exact.ranks) == exact.ranks[2]
    best = min(
        (
            rank_problem([5.0] * 3, s, 6, 4, 0.9).value(
                np.concatenate([np.arange(4) < units for units in plan])
            )
            for plan in itertools.product(range(1, 5), repeat=3)
            if sum(plan) <= 6
        ),
    )
    assert exact.value == pytest.approx(float(best))
    for solver in (Greedy(), SwapSearch(), Tabu(), Annealing(reads=6)):
        found = allocate_ranks([5.0, 5.0, 5.0], s, solver, STREAMS("s"), budget_bytes=120, **shared)
        assert found.solution.feasible and found.bytes <= 120 and min(found.ranks) >= 2


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        ({}, "give one budget"),
        ({"budget_bytes": 10, "budget_key_bits": 10}, "give one budget"),
        ({"budget_bytes": 59}, "raise it to 60"),
        ({"budget_bytes": 100, "largest": 7}, "multiple of the step"),
    ],
)
def test_budgets_that_mean_nothing_are_refused(budget, words):
    with pytest.raises(RequestError, match=words):
        allocate_ranks(
            [1.0, 1.0, 1.0], np.eye(3), Greedy(), STREAMS("none"), bytes_per_rank=10, **({"step": 2} | budget)
        )


def test_tables_that_are_none_are_refused():
    with pytest.raises(RequestError, match="symmetric table"):
        choose_subset([[0.0, 1.0], [2.0, 0.0]], 1, Greedy(), STREAMS("x"))
    with pytest.raises(RequestError, match="there are 2 updates"):
        choose_subset(np.zeros((2, 2)), 3, Greedy(), STREAMS("x"))
    with pytest.raises(RequestError, match="there are 10 candidates"):
        choose_clients(counts(), 11, Greedy(), STREAMS("x"))
    with pytest.raises(RequestError, match="numbers of at least 0"):
        choose_clients(-counts(), 2, Greedy(), STREAMS("x"))


def test_the_balanced_sampler_beats_a_uniform_cohort():
    from qfedfm.federation.sampling import BalancedSampler, UniformSampler

    table = counts(40)
    sizes, p = table.sum(1), table.sum(0) / table.sum()

    def far(chosen) -> float:
        total = table[chosen].sum(0)
        return float(np.abs(total / total.sum() - p).sum())

    sampler, seen = BalancedSampler(), set()
    balanced, uniform = [], []
    for number in range(10):
        chosen = sampler.sample(sizes, 5, number, STREAMS("round", number), table)
        again = sampler.sample(sizes, 5, number, STREAMS("round", number), table)
        assert chosen == again == sorted(set(chosen)) and len(chosen) == 5
        seen |= set(chosen)
        balanced.append(far(chosen))
        uniform.append(far(UniformSampler().sample(sizes, 5, number, STREAMS("uniform", number))))
    assert np.mean(balanced) < 0.6 * np.mean(uniform)
    assert len(seen) > 20
    one = BalancedSampler(candidates=1.0).sample(sizes, 5, 0, STREAMS("round", 0), table)
    assert one == UniformSampler().sample(sizes, 5, 0, STREAMS("round", 0))

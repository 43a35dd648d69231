"""QUBO problems and solvers: the optimum is brute force's, and every heuristic says how far it is from it."""

from __future__ import annotations

import itertools
import sys

import numpy as np
import pytest
import scipy.sparse
import torch

from qfedfm.core.errors import RequestError
from qfedfm.core.random import Streams
from qfedfm.optim.qubo import (
    Annealing,
    Count,
    Exact,
    Greedy,
    Qaoa,
    Qubo,
    SwapSearch,
    compare_solvers,
    penalised,
)
from qfedfm.optim.qubo.exact import all_values
from qfedfm.optim.qubo.moves import State, best_swap
from qfedfm.optim.qubo.penalty import slack_weights
from qfedfm.optim.qubo.qaoa import circuit_of, measured, ramp
from qfedfm.quantum import expectations

STREAMS = Streams(20)
HEURISTICS = [Greedy(), SwapSearch(starts=4), Annealing(reads=12, sweeps=100)]
QUICK_QAOA = Qaoa(layers=1, starts=1, steps=15, shots=256)


def random_problem(number: int) -> Qubo:
    """Fifty problems of 3 to 16 variables: free, with a cardinality, with counts over parts."""
    rng = STREAMS("problem", number)
    n = 3 + number % 14
    constraints: tuple[Count, ...] = ()
    if number % 3 == 1:
        constraints = (Count(n // 2, n // 2),)
    if number % 3 == 2:
        constraints = (Count(1, 2, tuple(range(n // 2))), Count(0, 2, tuple(range(n // 2, n))))
    return Qubo(rng.normal(size=(n, n)), rng.normal(), constraints)


def strings(n: int) -> np.ndarray:
    return np.array(list(itertools.product((0, 1), repeat=n)), np.uint8)


def brute_force(problem: Qubo) -> float:
    """The least feasible value, from the definition alone."""
    x = strings(problem.n)
    values = np.einsum("si,ij,sj->s", x, problem.matrix, x) + problem.offset
    kept = np.ones(len(x), bool)
    for count in problem.constraints:
        ones = x[:, list(count.members or range(problem.n))].sum(axis=1)
        kept &= (count.least <= ones) & (ones <= count.most)
    return float(values[kept].min())


@pytest.mark.parametrize("number", range(50))
def test_exact_is_brute_force_and_every_heuristic_reports_its_gap(number):
    problem = random_problem(number)
    solvers = [Exact(), *HEURISTICS, *([QUICK_QAOA] if problem.n <= 8 else [])]
    found = compare_solvers(problem, solvers, STREAMS)
    optimum = brute_force(problem)
    assert found[0].value == pytest.approx(optimum, abs=1e-9) and found[0].gap == pytest.approx(0, abs=1e-9)
    for solution in found:
        assert solution.feasible and solution.best_known == pytest.approx(optimum, abs=1e-9)
        assert solution.value == pytest.approx(float(problem.value(solution.bits)))
        assert solution.gap is not None and solution.gap >= -1e-9
        assert solution.evaluations > 0 and solution.seconds > 0
        print(f"problem {number}, n {problem.n}: {solution.solver:9s} gap {solution.gap:.4f}")


def test_the_local_searches_rarely_miss():
    missed = {solver.kind: 0 for solver in HEURISTICS}
    for number in range(0, 50, 2):
        problem = random_problem(number)
        for solution in compare_solvers(problem, [Exact(), *HEURISTICS], STREAMS)[1:]:
            missed[solution.solver] += solution.gap > 1e-9
    assert missed["swap"] <= 2 and missed["annealing"] <= 4 < missed["greedy"]


def test_values_by_doubling_differences_and_spins_are_the_definition():
    problem = random_problem(7)
    n, x = problem.n, strings(problem.n)
    index = x.astype(np.int64) @ (1 << np.arange(n))
    np.testing.assert_allclose(all_values(problem)[index], problem.value(x), atol=1e-10)
    state = State(problem, x[5])
    violation, value = state.flips()
    for i in range(n):
        flipped = x[5].copy()
        flipped[i] ^= 1
        assert value[i] == pytest.approx(problem.value(flipped) - problem.value(x[5]))
        assert violation[i] == problem.violation(flipped) - problem.violation(x[5])
    fields, couplings, offset = problem.ising()
    z = 1.0 - 2.0 * x
    spins = offset + z @ fields + 0.5 * np.einsum("si,ij,sj->s", z, couplings, z)
    np.testing.assert_allclose(spins, problem.value(x), atol=1e-10)
    back = Qubo.from_ising(fields, couplings, offset)
    np.testing.assert_allclose(back.value(x), problem.value(x), atol=1e-10)


def test_a_sparse_problem_stays_sparse_and_is_the_same():
    dense = np.where(
        STREAMS("sparse").random((12, 12)) < 0.2, STREAMS("sparse values").normal(size=(12, 12)), 0
    )
    one, other = Qubo(dense), Qubo(scipy.sparse.csr_array(dense))
    assert scipy.sparse.issparse(other.pairs) and scipy.sparse.issparse(other.ising().couplings)
    x = strings(12)
    np.testing.assert_allclose(one.value(x), other.value(x))
    for solver in (Exact(), *HEURISTICS):
        a, b = (solver.solve(p.with_cardinality(5), STREAMS("s")) for p in (one, other))
        assert np.array_equal(a.bits, b.bits) and a.bits.sum() == 5


def test_a_swap_keeps_the_cardinality_and_is_the_best_exchange():
    problem = Qubo(STREAMS("swap").normal(size=(7, 7))).with_cardinality(3)
    start = np.array([1, 0, 1, 0, 0, 1, 0], np.uint8)
    found = best_swap(State(problem, start))
    assert found is not None
    trials = {}
    for one, zero in itertools.product(np.flatnonzero(start), np.flatnonzero(start == 0)):
        changed = start.copy()
        changed[[one, zero]] = 0, 1
        trials[int(one), int(zero)] = float(problem.value(changed) - problem.value(start))
    assert found[:2] == min(trials, key=trials.__getitem__)
    assert found[2] == 0 and found[3] == pytest.approx(min(trials.values()))


def test_the_penalised_problem_has_the_same_optimum():
    for number in (1, 2, 4, 5):
        problem = random_problem(number)
        free = penalised(problem)
        assert not free.constraints and free.n >= problem.n
        best = Exact().solve(free, STREAMS("p"))
        assert best.value == pytest.approx(brute_force(problem))
        assert problem.violation(best.bits[: problem.n]) == 0


@pytest.mark.parametrize("largest", [0, 1, 2, 5, 7, 12])
def test_slacks_are_all_numbers_up_to_the_largest(largest):
    weights = slack_weights(largest)
    sums = {sum(part) for size in range(len(weights) + 1) for part in itertools.combinations(weights, size)}
    assert sums == set(range(largest + 1))


def test_what_misses_the_constraints_is_repaired_and_says_so():
    """A penalty far too weak lets annealing and QAOA return the free optimum: no ones at all."""
    problem = Qubo(np.eye(6) + 0.1).with_cardinality(3)
    for solver in (Annealing(penalty=1e-6, reads=2), Qaoa(penalty=1e-6, shots=1, layers=3)):
        solution = solver.solve(problem, STREAMS("weak"))
        assert solution.repaired and solution.feasible and solution.bits.sum() == 3
        assert not solver.model_copy(update={"penalty": None}).solve(problem, STREAMS("weak")).gap
    assert not Exact().solve(problem, STREAMS("weak")).repaired


def test_counts_that_exclude_each_other_end_infeasible():
    problem = Qubo(np.eye(4), constraints=(Count(4, 4), Count(0, 1, (0, 1, 2))))
    for solver in (Exact(), Greedy(), SwapSearch(starts=2)):
        solution = solver.solve(problem, STREAMS("none"), best_known=1.0)
        assert not solution.feasible and solution.violation == 2 and solution.gap is None


def test_the_cut_of_the_circuit_is_the_objective():
    problem = random_problem(3)
    circuit = circuit_of(problem, 2)
    fields, couplings, offset = problem.ising()
    scale = max(np.abs(fields).max(), np.abs(couplings).max())
    total = np.triu(couplings, 1).sum() + fields.sum() + offset
    weights = torch.tensor([0.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    cut = float(expectations(circuit, torch.zeros(1, 0, dtype=torch.float64), weights))
    assert total - 2 * scale * cut == pytest.approx(float(problem.value(strings(problem.n)).mean()))


def test_optimised_angles_beat_guessing():
    problem = Qubo(STREAMS("qaoa").normal(size=(8, 8)))
    guess = problem.value(strings(8))
    for layers, share in ((1, 0.02), (3, 0.1)):
        solver = Qaoa(layers=layers, shots=64, starts=2)
        solution = solver.solve(problem, STREAMS("qaoa", layers))
        assert solution.circuits > 5 and solution.shots == 64
        assert solution.value <= np.quantile(guess, share)
    seen = measured(circuit_of(problem, 2), ramp(2), 4096, STREAMS("seen"))
    assert seen.shape[1] == 8 and len(seen) > 20
    assert Qaoa().solve(Qubo(np.zeros((3, 3)), 2.0), STREAMS("flat")).value == 2.0


def test_a_seed_gives_the_same_solution_twice():
    problem = random_problem(4)
    for solver in (*HEURISTICS, QUICK_QAOA):
        a, b = (solver.solve(problem, STREAMS("twice")) for _ in range(2))
        assert np.array_equal(a.bits, b.bits) and a.value == b.value
        assert type(solver).model_validate(solver.plain()) == solver


@pytest.mark.parametrize(
    ("matrix", "constraints", "sentence"),
    [
        (np.ones((2, 3)), (), "must be square"),
        (np.full((2, 2), np.nan), (), "finite"),
        (np.eye(3), (Count(4, 4),), "cannot be from 4 to 4"),
        (np.eye(3), (Count(0, 1, (0, 3)),), "variables from 0 to 2"),
    ],
)
def test_a_wrong_problem_is_refused(matrix, constraints, sentence):
    with pytest.raises(RequestError, match=sentence):
        Qubo(matrix, 0.0, constraints)


def test_a_problem_too_large_is_refused_in_words():
    large = Qubo(np.eye(23))
    for solver in (Exact(), Qaoa()):
        with pytest.raises(RequestError, match="use swap or annealing"):
            solver.solve(large, STREAMS("large"))


def test_annealing_without_its_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "dwave.samplers", None)
    with pytest.raises(RequestError, match=r"qfedfm\[annealing\]"):
        Annealing().solve(Qubo(np.eye(2)), STREAMS("none"))

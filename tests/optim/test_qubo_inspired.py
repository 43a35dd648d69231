"""Quantum-inspired solvers reach known optima, keep or repair counts visibly, and repeat under a seed."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from qfedfm.core.errors import RequestError
from qfedfm.core.random import Streams
from qfedfm.optim.qubo import (
    Annealing,
    Bifurcation,
    Count,
    Exact,
    QuantumAnnealing,
    Qubo,
    SwapSearch,
    Tabu,
    WarmQaoa,
    compare_solvers,
)
from qfedfm.optim.qubo.warm_qaoa import circuit_of, depth_sweep, relaxed, stretched
from qfedfm.quantum import expectations, states

STREAMS = Streams(31)
SOLVERS = [
    Tabu(starts=1, iterations=60),
    Bifurcation(reads=12, steps=150),
    Bifurcation(variant="ballistic", reads=12, steps=150),
    QuantumAnnealing(reads=18, sweeps=60, temperature=0.1),
]
NAMES = ["tabu", "discrete", "ballistic", "path integral"]


def problem(number: int, n: int = 10) -> Qubo:
    rng = STREAMS("problem", number)
    constraints = ((), (Count(n // 2, n // 2),), (Count(1, 2, tuple(range(n // 2))),))[number % 3]
    return Qubo(rng.normal(size=(n, n)), 1.0, constraints)


@pytest.mark.parametrize(("solver", "most"), list(zip(SOLVERS, (1, 4, 5, 2), strict=True)), ids=NAMES)
def test_small_optima_are_found_with_few_misses(solver, most):
    missed = 0
    for number in range(15):
        exact, found = compare_solvers(problem(number), [Exact(), solver], STREAMS)
        assert found.feasible and found.gap >= -1e-9
        assert found.best_known == pytest.approx(exact.value)
        missed += found.gap > 1e-9
    assert missed <= most


@pytest.mark.parametrize("solver", SOLVERS, ids=NAMES)
def test_a_seed_gives_the_same_string_twice_and_repairs_are_reported(solver):
    case = problem(1)
    one, two = (solver.solve(case, STREAMS("twice")) for _ in range(2))
    assert np.array_equal(one.bits, two.bits) and int(one.bits.sum()) == 5
    assert one.evaluations > 0 and one.seconds > 0
    if hasattr(solver, "penalty"):
        weak = solver.model_copy(update={"penalty": 1e-9}).solve(case, STREAMS("weak"))
        assert weak.feasible and weak.repaired


@pytest.mark.parametrize("solver", [Bifurcation(), QuantumAnnealing(), WarmQaoa(layers=1)])
def test_a_constant_objective_has_an_answer(solver):
    found = solver.solve(Qubo(np.zeros((3, 3)), 2.5), STREAMS("constant"))
    assert found.value == 2.5 and found.feasible


def ferromagnet(n: int) -> Qubo:
    """All spins down is the only ground state: −Σ z_i z_j / n and a small field."""
    couplings = -(np.ones((n, n)) - np.eye(n)) / n
    return Qubo.from_ising(np.full(n, 0.05), couplings)


@pytest.mark.parametrize("solver", SOLVERS, ids=NAMES)
def test_the_signs_of_fields_and_couplings(solver):
    found = solver.solve(ferromagnet(20), STREAMS("ferromagnet"))
    assert found.bits.tolist() == [1] * 20


def test_tabu_climbs_out_of_a_local_minimum():
    """From the string 00 the only descent leads nowhere; the optimum lies behind a wall."""
    Q = np.array([[1.0, -5.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, -0.5]])
    assert SwapSearch(starts=1).solve(Qubo(Q), STREAMS("swap")).value == -0.5
    assert Tabu(starts=1, iterations=5, tenure=2).solve(Qubo(Q), STREAMS("tabu")).value == -3.5


def test_the_warm_circuit_starts_at_the_relaxation_and_measures_the_objective():
    case = problem(0, 5)
    start = np.array([0.3, 0.5, 0.7, 0.25, 0.6])
    circuit = circuit_of(case, start, 1)
    fields, couplings, offset = case.ising()
    scale = max(np.abs(fields).max(), np.abs(couplings).max())
    none = torch.zeros(1, 0, dtype=torch.float64)
    weights = torch.zeros(2, dtype=torch.float64)
    chances = states(circuit, none, weights)[0].abs().square().numpy()
    bits = np.array(list(itertools.product((0, 1), repeat=5)))  # qubit 0 first, as in the index
    np.testing.assert_allclose(bits.T @ chances, start, atol=1e-12)
    value = float(expectations(circuit, none, weights)[0, 0]) * scale + offset
    assert value == pytest.approx(float(chances @ case.value(bits)))
    # The mixer leaves the start as it is, whatever β.
    turned = states(circuit, none, torch.tensor([0.0, 1.1], dtype=torch.float64))[0]
    overlap = abs(complex((turned.conj() * states(circuit, none, weights)[0]).sum()))
    assert overlap == pytest.approx(1.0)


def test_the_relaxation_is_a_local_minimum_and_depths_stretch():
    case = problem(3, 8)
    c = relaxed(case, STREAMS("relaxed"))
    assert bool(((c >= 0) & (c <= 1)).all())
    value = float(case.value(c))
    for i, change in itertools.product(range(8), (-0.01, 0.01)):
        moved = c.copy()
        moved[i] = np.clip(moved[i] + change, 0, 1)
        assert float(case.value(moved)) >= value - 1e-6
    assert stretched(np.array([1.0, 2.0])).tolist() == [1.0, 2.0, 1.0, 2.0]
    assert stretched(np.array([1.0, 4.0, 3.0, 2.0])).tolist() == [1.0, 4.0, 2.0, 3.0, 3.0, 2.0]


def test_warm_and_deep_qaoa_see_lower_energies():
    """Mean energies, not lucky shots: deeper is not worse, and the report names the depth."""
    case = problem(0, 6)
    optimum = Exact().solve(case, STREAMS("exact")).value
    found = depth_sweep(case, (1, 3), STREAMS, WarmQaoa(shots=256))
    assert [solution.solver for solution in found] == ["warm_qaoa p=1", "warm_qaoa p=3"]
    assert all(s.circuits > 0 and s.shots == 256 and s.value >= optimum - 1e-9 for s in found)
    cold = WarmQaoa(warm=False, layers=2).solve(case, STREAMS("cold"))
    assert math.isclose(cold.value, optimum, abs_tol=1e-9)
    with pytest.raises(RequestError, match="warm_qaoa simulates at most 18 qubits"):
        WarmQaoa().solve(problem(0, 19), STREAMS("large"))


@pytest.mark.parametrize("solver", [QuantumAnnealing(), Annealing()])
def test_without_dwave_the_extra_is_named(solver, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "dwave.samplers", None)
    with pytest.raises(RequestError, match=r"qfedfm\[annealing\]"):
        solver.solve(problem(0), STREAMS("none"))

"""Weights by swap and Hadamard tests, subsets by QUBO, each beside its classical twin."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from qfedfm.aggregation import Cohort, Cosine, FedAvg, HadamardTest, MultiKrum, QuboSubset, SwapTest
from qfedfm.aggregation.overlaps import (
    cosines,
    hadamard_test_circuit,
    hadamard_tested,
    swap_test_circuit,
    swap_tested,
)
from qfedfm.aggregation.subsets import squared_distances
from qfedfm.circuits import family
from qfedfm.core.random import Streams
from qfedfm.core.tensors import Layout
from qfedfm.optim.qubo import Annealing, Exact, Greedy, Qaoa, SwapSearch
from qfedfm.quantum import expectations

STREAMS = Streams(4)
TRIALS = 10_000


def made(rows: np.ndarray, examples: tuple[int, ...] | None = None, number: int = 0) -> Cohort:
    clients, size = rows.shape
    return Cohort(
        clients=tuple(range(clients)),
        delta_KD=torch.tensor(rows, dtype=torch.float32),
        examples=examples or (10,) * clients,
        layout=Layout((("head/output.weight", (size,)),)),
        streams=STREAMS.at("round", number),
    )


def alike(clients: int, size: int, liars: int = 0, seed: int = 0) -> np.ndarray:
    """A common direction with noise; the last clients send the opposite."""
    rng = STREAMS("alike", clients, seed)
    rows = rng.normal(size=size) + 0.5 * rng.normal(size=(clients, size))
    rows[clients - liars :] *= -1
    return rows


# Overlaps


@pytest.mark.parametrize("c", [-0.9, -0.3, 0.0, 0.5, 0.95])
def test_standard_deviations_are_those_of_the_formulas(c):
    shots, cosine = 500, np.full(TRIALS, c)
    F = swap_tested(cosine, shots, STREAMS("swap", int(100 * c)))
    signed = hadamard_tested(cosine, shots, STREAMS("hadamard", int(100 * c)))
    assert F.mean() == pytest.approx(c**2, abs=0.003) and signed.mean() == pytest.approx(c, abs=0.003)
    assert F.std() == pytest.approx(np.sqrt((1 - c**4) / shots), rel=0.05)
    assert signed.std() == pytest.approx(np.sqrt((1 - c**2) / shots), rel=0.05)


def test_the_swap_test_scores_an_update_and_its_opposite_alike_and_the_hadamard_test_does_not():
    cosine = np.array([0.8, -0.8])
    F = swap_tested(cosine, 100_000, STREAMS("blind"))
    c = hadamard_tested(cosine, 100_000, STREAMS("signed"))
    assert F[0] == pytest.approx(F[1], abs=0.02)
    assert c == pytest.approx([0.8, -0.8], abs=0.01)


@pytest.mark.parametrize("qubits", [1, 2, 3])
def test_the_circuits_on_amplitudes_measure_the_overlaps(qubits):
    rng = STREAMS("amplitudes", qubits)
    a, b = (v / np.linalg.norm(v) for v in rng.normal(size=(2, 2**qubits)))
    c = float(a @ b)
    assert cosines(torch.tensor(a)[None], torch.tensor(b))[0] == pytest.approx(c)
    nothing = torch.zeros(0, dtype=torch.float64)
    both = np.kron([1.0, 0.0], np.kron(a, b))
    swap = expectations(swap_test_circuit(qubits), torch.tensor(both)[None], nothing)
    assert float(swap) == pytest.approx(c**2, abs=1e-9)
    fork = np.concatenate([a, b]) / np.sqrt(2)
    signed = expectations(hadamard_test_circuit(qubits), torch.tensor(fork)[None], nothing)
    assert float(signed) == pytest.approx(c, abs=1e-9)


@pytest.mark.parametrize("test", ["swap", "hadamard"])
def test_the_families_circuits_have_the_formulas_distribution(test):
    """States of one qubit at angles a and b: c = cos((a - b)/2)."""
    a, b, shots, repeats = 0.4, 1.9, 20, 3000
    c = np.array([np.cos((a - b) / 2)])
    if test == "swap":
        circuit, weights = family("swap_test", qubits=3), []
        inputs = [a, b]
        formula = swap_tested(np.repeat(c, repeats), shots, STREAMS("family"))
    else:  # psi = RY(a)|0>, U = RY(b - a): <psi|U|psi> = cos((b - a)/2)
        circuit, weights = family("hadamard_test", qubits=2), [b - a, 0.0]
        inputs = [a]
        formula = hadamard_tested(np.repeat(c, repeats), shots, STREAMS("family"))
    batch = torch.tensor([inputs], dtype=torch.float64).expand(repeats, -1).contiguous()
    measured = expectations(
        circuit,
        batch,
        torch.tensor(weights, dtype=torch.float64),
        shots=shots,
        generator=torch.Generator().manual_seed(1),
    )[:, 0].numpy()
    counts = [
        np.bincount(np.rint((v + 1) * shots / 2).astype(int), minlength=21) for v in (measured, formula)
    ]
    kept = np.minimum(*counts) >= 10
    folded = [np.append(found[kept], found[~kept].sum()) for found in counts]
    mean = (folded[0] + folded[1]) / 2
    assert chisquare(np.concatenate(folded), np.concatenate([mean, mean]), ddof=kept.sum()).pvalue > 1e-4


# Weights


def test_weights_by_hand():
    rows = np.array([[2.0, 0.0], [0.0, 3.0], [1.0, 1.0]])
    cohort = made(rows, (1, 1, 2))
    p, units = np.array([0.25, 0.25, 0.5]), rows / np.linalg.norm(rows, axis=1, keepdims=True)
    reference = p @ units
    c = units @ reference / np.linalg.norm(reference)
    w = p * c**2
    rule = Cosine(power=2.0)
    np.testing.assert_allclose(rule.weights(cohort), w / w.sum())
    combined = rule.combine({}, cohort)[0].delta
    np.testing.assert_allclose(combined, w / w.sum() @ rows, rtol=1e-6)


def test_with_many_shots_the_tests_are_their_classical_twin():
    cohort = made(alike(6, 40), (3, 5, 7, 9, 11, 13))
    exact = Cosine().weights(cohort)
    for rule in (SwapTest(shots=10**8), HadamardTest(shots=10**8)):
        torch.testing.assert_close(rule.weights(cohort), exact, atol=1e-3, rtol=0)
    few = [HadamardTest(shots=20).weights(made(alike(6, 40), number=n)) for n in range(2)]
    assert not torch.allclose(*few)  # each round draws its own shots


def test_who_sends_the_opposite_is_seen_by_the_sign_only():
    cohort = made(alike(8, 50, liars=2))
    for rule in (Cosine(), HadamardTest()):
        assert (rule.weights(cohort)[6:] == 0).all()
    blind = SwapTest().weights(cohort)
    assert blind[6:].min() > 0.5 / 8


def test_nothing_to_compare_leaves_the_weights_by_examples():
    cohort = made(np.zeros((3, 4)), (1, 2, 3))
    for rule in (Cosine(), SwapTest(shots=1), HadamardTest(shots=1)):
        weights = rule.weights(cohort)
        assert float(weights.sum()) == pytest.approx(1) and torch.isfinite(weights).all()
    torch.testing.assert_close(Cosine().weights(cohort), FedAvg().weights(cohort))


# Subsets


def least_diameter(rows: np.ndarray, keep: int) -> tuple[float, tuple[int, ...]]:
    D = ((rows[:, None] - rows[None]) ** 2).sum(-1)
    return min(
        (sum(D[i, j] for i, j in itertools.combinations(part, 2)), part)
        for part in itertools.combinations(range(len(rows)), keep)
    )


@pytest.mark.parametrize("clients", [4, 9, 15])
def test_the_reported_optimum_is_brute_forces_and_every_gap_is_printed(clients):
    rows = STREAMS("diameter", clients).normal(size=(clients, 30))
    cohort, rule = made(rows), QuboSubset(keep=0.6, solver=Exact())
    best, part = least_diameter(cohort.delta_KD.double().numpy(), rule.kept(clients))
    optimum = rule.solution(cohort)
    D = squared_distances(cohort.delta_KD)
    assert optimum.chosen == part and optimum.value * D.mean() == pytest.approx(best)
    heuristics = [Greedy(), SwapSearch(), Annealing()]
    if clients <= 9:
        heuristics.append(Qaoa(layers=1, starts=1, steps=20, shots=256))
    for solver in heuristics:
        found = rule.model_copy(update={"solver": solver}).solution(cohort, optimum.value)
        assert found.feasible and len(found.chosen) == rule.kept(clients)
        assert found.gap is not None and found.gap >= -1e-9
        print(f"{clients} clients, {solver.kind}: gap {found.gap:.4f}, {found.evaluations} evaluations")
        if solver.kind == "swap":
            assert found.gap == pytest.approx(0, abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["diameter", "redundancy"])
@pytest.mark.parametrize("clients", [12, 15])
def test_circuits_of_fifteen_clients_have_a_gap_too(clients, objective):
    cohort = made(STREAMS("diameter", clients).normal(size=(clients, 30)))
    rule = QuboSubset(objective=objective, solver=Exact())
    optimum = rule.solution(cohort).value
    solver = Qaoa(layers=1, starts=1, steps=20, shots=512)
    found = rule.model_copy(update={"solver": solver}).solution(cohort, optimum)
    assert found.feasible and len(found.chosen) == rule.kept(clients)
    assert found.gap is not None and found.gap >= -1e-9 and found.circuits > 0
    print(f"{clients} clients, {objective}, qaoa: gap {found.gap:.4f}, {found.evaluations} evaluations")


@pytest.mark.parametrize("objective", ["diameter", "redundancy"])
@pytest.mark.parametrize("clients", range(2, 16))
def test_the_reported_optimum_is_the_least_of_all_subsets(clients, objective):
    cohort = made(STREAMS("subsets", clients).normal(size=(clients, 20)))
    rule = QuboSubset(objective=objective, keep=0.5, solver=Exact())
    found, problem = rule.solution(cohort), rule.problem(cohort)
    subsets = itertools.combinations(range(clients), rule.kept(clients))
    strings = np.array([[i in part for i in range(clients)] for part in subsets], float)
    values = np.einsum("si,ij,sj->s", strings, problem.matrix, strings) + problem.offset
    assert found.value == pytest.approx(values.min(), abs=1e-9)
    assert len(found.chosen) == rule.kept(clients) and found.gap == pytest.approx(0, abs=1e-9)


def test_subsets_leave_out_those_who_lie_as_multi_krum_does():
    cohort = made(alike(10, 50, liars=3), (1, 2, 3, 4, 5, 6, 7, 8, 9, 10))
    assert MultiKrum().chosen(cohort) == QuboSubset().chosen(cohort) == list(range(7))
    weights = MultiKrum().weights(cohort)
    np.testing.assert_allclose(weights[:7], np.arange(1, 8) / 28)
    assert (weights[7:] == 0).all()
    everybody = replace(cohort, examples=(1,) * 10)
    torch.testing.assert_close(
        QuboSubset(keep=1.0).combine({}, everybody)[0].delta, FedAvg().combine({}, everybody)[0].delta
    )


def test_multi_krum_by_hand():
    """On a line at 0, 1, 2, 10 with m = 3: the nearest other one counts; 10 is left out."""
    cohort = made(np.array([[0.0], [1.0], [2.0], [10.0]]))
    assert MultiKrum(keep=0.75).chosen(cohort) == [0, 1, 2]
    assert MultiKrum(keep=0.25).kept(4) == 1 and MultiKrum(keep=0.7).kept(10) == 7


def test_redundancy_takes_one_of_each_kind():
    rng = STREAMS("kinds")
    kinds = np.eye(3, 60) * 10
    rows = np.repeat(kinds, 3, axis=0) + 0.1 * rng.normal(size=(9, 60))
    rule = QuboSubset(objective="redundancy", keep=1 / 3, redundancy=5.0, solver=Exact())
    assert sorted(k // 3 for k in rule.chosen(made(rows))) == [0, 1, 2]
    assert QuboSubset(keep=1 / 3, solver=Exact()).chosen(made(rows))[0] // 3 == (
        QuboSubset(keep=1 / 3, solver=Exact()).chosen(made(rows))[2] // 3
    )

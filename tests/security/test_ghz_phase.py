"""The GHZ phase sum: phases, variances, noise, robust estimation, tests of the source, the protocol."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import binom, chi2, chisquare

from qfedfm.circuits import family
from qfedfm.core.errors import RequestError
from qfedfm.core.random import Streams
from qfedfm.quantum import Noise, expectations, states
from qfedfm.security.summation import GhzPhase, SumAbortedError
from qfedfm.security.summation.binomial import binomial
from qfedfm.security.summation.ghz_phase.circuit import measured_quadratures
from qfedfm.security.summation.ghz_phase.clusters import clusters
from qfedfm.security.summation.ghz_phase.robust import (
    check_plan,
    outlier_rate,
    robust_phases,
    shots_for,
    wrong_turn,
)
from qfedfm.security.summation.ghz_phase.sampling import phases, quadratures, variance, wrapped
from qfedfm.security.summation.ghz_phase.verification import allowed, caught, failing, failures, mean_failing
from qfedfm.security.summation.ghz_phase.visibility import arrival, visibility

sys.path.insert(0, str(Path(__file__).parent))
from summing import add_up, job, true_sum, updates

STREAMS = Streams(6)
TRIALS = 10_000


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


# The sampler


@pytest.mark.parametrize(
    ("trials", "chance"),
    [
        (1, 0.3),
        (7, 0.5),
        (24, 0.04),
        (40, 0.9),
        (60, 0.25),
        (1024, 0.005),
        (1024, 0.5),
        (4096, 0.98),
        (999, 0.03),
    ],
)
def test_binomial_numbers_have_the_binomial_distribution(trials, chance):
    draws = 200_000
    found = binomial(trials, np.full(draws, chance), STREAMS("binomial", trials))
    expected = draws * binom.pmf(np.arange(trials + 1), trials, chance)
    seen = np.bincount(found, minlength=trials + 1)
    edges = np.searchsorted(np.cumsum(expected), np.arange(20, draws, 20) - 1e-9)
    starts = np.unique(np.concatenate([[0], edges + 1]))[:-1]
    observed, wanted = (np.add.reduceat(v, starts) for v in (seen.astype(float), expected))
    if wanted[-1] < 5:  # the last bin joins the one before
        observed[-2:-1] += observed[-1]
        wanted[-2:-1] += wanted[-1]
        observed, wanted = observed[:-1], wanted[:-1]
    assert observed.sum() == draws and len(wanted) >= 2
    assert chisquare(observed, wanted * draws / wanted.sum()).pvalue > 1e-4


def test_binomial_numbers_at_the_ends_and_of_mixed_chances():
    chances = np.array([0.0, 1.0, 1e-9, 1 - 1e-9] * 100)
    found = binomial(500, chances, STREAMS("ends")).reshape(100, 4)
    assert (found[:, 0] == 0).all() and (found[:, 1] == 500).all()
    assert found[:, 2].max() <= 1 and found[:, 3].min() >= 499
    mixed = STREAMS("mixed").random(100_000)
    z = (binomial(300, mixed, STREAMS("z")) - 300 * mixed) / np.sqrt(300 * mixed * (1 - mixed))
    assert abs(z.mean()) < 0.02 and z.var() == pytest.approx(1, abs=0.03)
    first, second = (binomial(300, mixed, STREAMS("twice")) for _ in range(2))
    assert np.array_equal(first, second)
    with pytest.raises(RequestError, match="shots must be from 1"):
        binomial(2**21, mixed, STREAMS("many"))


# The circuit


@pytest.mark.parametrize("clients", range(2, 9))
def test_the_phase_of_the_noiseless_circuit_is_the_sum(clients):
    angles = STREAMS("angles", clients).uniform(-np.pi, np.pi, (clients, 50)) / clients
    x, y = measured_quadratures(angles, None)
    np.testing.assert_allclose(np.arctan2(y, x), angles.sum(axis=0), atol=1e-9)
    np.testing.assert_allclose(np.hypot(x, y), 1, atol=1e-9)


def test_the_visibility_is_that_of_the_depolarised_state():
    """To 1e-9 against density matrices of Aer: each client's turn is one depolarising channel."""
    pytest.importorskip("qiskit_aer")
    for clients, p in ((2, 0.03), (3, 0.1), (5, 0.02)):
        angles = np.full((clients, 1), 0.3)
        x, y = measured_quadratures(angles, None, "aer:density_matrix", depolarizing=p)
        assert float(np.hypot(x, y)[0]) == pytest.approx(visibility(clients, p), abs=1e-9)
        assert visibility(clients, p) == pytest.approx((1 - 4 * p / 3) ** clients, abs=1e-12)
        assert float(np.arctan2(y, x)[0]) == pytest.approx(0.3 * clients, abs=1e-9)
        # the gallery's circuit prepares the state too: its Hadamard gate is one more channel
        whole = expectations(
            family("ghz_phase_sum", qubits=clients),
            torch.full((1, clients), 0.3, dtype=torch.float64),
            torch.zeros(0, dtype=torch.float64),
            "aer:density_matrix",
            noise=Noise(depolarizing=p),
        )
        assert float(whole.norm()) == pytest.approx(visibility(clients + 1, p), abs=1e-9)


@pytest.mark.parametrize(("executor", "depolarizing"), [("statevector", 0.0), ("aer:density_matrix", 0.05)])
def test_the_formula_and_the_circuit_have_one_distribution(executor, depolarizing):
    if executor != "statevector":
        pytest.importorskip("qiskit_aer")
    clients, shots, repeats = 3, 40, 400 if depolarizing else 2000
    angles = np.tile(np.array([[0.2], [0.5], [-0.1]]), repeats)
    generator = torch.Generator().manual_seed(3)
    circuit = measured_quadratures(angles, shots, executor, depolarizing=depolarizing, generator=generator)
    V = visibility(clients, depolarizing)
    formula = quadratures(angles.sum(axis=0), V, shots, STREAMS("formula"))
    for row, wave in enumerate((np.cos(0.6), np.sin(0.6))):
        chances = binom.pmf(np.arange(shots + 1), shots, (1 + V * wave) / 2)
        for found in (circuit[row], formula[row]):
            counts = np.bincount(np.rint((found + 1) * shots / 2).astype(int), minlength=shots + 1)
            kept = chances * repeats >= 5
            observed = np.append(counts[kept], counts[~kept].sum())
            wanted = np.append(chances[kept], chances[~kept].sum()) * repeats
            assert chisquare(observed, wanted).pvalue > 1e-4
    both = np.stack([np.histogram(q[0], np.linspace(-1, 1, 12))[0] for q in (circuit, formula)])
    both = both[:, both.sum(axis=0) >= 10]
    statistic = ((both[0] - both[1]) ** 2 / both.sum(axis=0)).sum()
    assert chi2.sf(statistic, both.shape[1] - 1) > 1e-4


# Variances


@pytest.mark.parametrize("V", [1.0, 0.5])
@pytest.mark.parametrize("where", ["zero", "quarter", "uniform"])
def test_the_variance_is_that_of_the_formula(V, where):
    shots = 4096
    sums = {
        "zero": np.zeros(TRIALS),
        "quarter": np.full(TRIALS, np.pi / 4),
        "uniform": STREAMS("uniform").uniform(-np.pi, np.pi, TRIALS),
    }[where]
    error = wrapped(phases(sums, V, shots, STREAMS("variance", where, int(10 * V))) - sums)
    formula = (1 - V**2 / 2 * np.sin(2 * sums) ** 2) / (shots * V**2)
    assert rms(error) == pytest.approx(np.sqrt(formula.mean()), rel=0.05)
    np.testing.assert_allclose(variance(sums, V, shots), formula, rtol=1e-12)
    if V == 1.0:
        pinned = {"zero": 1.0, "quarter": 0.707, "uniform": 0.866}[where]
        assert rms(error) * np.sqrt(shots) == pytest.approx(pinned, rel=0.05)


def test_loss_lowers_the_visibility_or_costs_states():
    assert visibility(4, 0.03, 0.1) == pytest.approx((0.96 * 0.9) ** 4)
    assert visibility(4, 0.03, 0.0, channels=2) == pytest.approx(0.96**8)
    assert arrival(4, 0.1, channels=2) == pytest.approx(0.9**8)


# Robust phase estimation


def test_384_states_give_two_milliradians():
    assert shots_for(1.0) == 24
    sums = STREAMS("robust").uniform(-np.pi, np.pi, TRIALS)
    error = wrapped(robust_phases(sums, 1.0, 24, STREAMS("levels")) - sums)
    assert 2 * 8 * 24 == 384 and rms(error) <= 2e-3
    plain = wrapped(phases(sums, 1.0, 16_384, STREAMS("plain")) - sums)  # 32,768 states
    assert rms(plain) == pytest.approx(6.8e-3, rel=0.05)


@pytest.mark.parametrize("V", [0.9, 0.8, 0.65, 0.5])
def test_shots_follow_the_visibility_and_outliers_stay_away(V):
    shots = shots_for(V)
    assert shots >= 24 and outlier_rate(V, shots) < 1e-6
    sums = STREAMS("robust").uniform(-np.pi, np.pi, TRIALS)
    error = wrapped(robust_phases(sums, V, shots, STREAMS("levels", int(100 * V))) - sums)
    assert rms(error) <= 1.2 * np.sqrt((1 - V**2 / 4) / (shots * V**2)) / 2**7


def test_the_predicted_rate_of_outliers_is_the_measured_one():
    V, shots, draws = 0.5, 24, 200_000
    sums = STREAMS("rate").uniform(-np.pi, np.pi, draws)
    error = wrapped(robust_phases(sums, V, shots, STREAMS("rate levels"), levels=2) - sums)
    wrong = np.mean(np.abs(error) > np.pi / 2)
    predicted = wrong_turn(V, shots)
    assert predicted > 1e-3
    assert wrong == pytest.approx(predicted, abs=4 * np.sqrt(predicted / draws) + 0.1 * predicted)


def test_a_plan_with_outliers_is_refused():
    check_plan(1.0, 24)
    with pytest.raises(RequestError, match=r"would end at a wrong value .* use \d+ shots"):
        check_plan(0.5, 24)
    for V in (0.5, 0.8):  # refused exactly where the predicted rate is above 1 in 1,000
        rates = {shots: outlier_rate(V, shots) for shots in range(8, 72, 8)}
        assert min(rates.values()) < 1e-3 < max(rates.values())
        for shots, rate in rates.items():
            if rate <= 1e-3:
                check_plan(V, shots)
            else:
                with pytest.raises(RequestError, match="would end at a wrong value"):
                    check_plan(V, shots)
    with pytest.raises(RequestError, match=r"security\.sum\.shots"):
        GhzPhase(robust=True, shots=24, depolarizing=0.05).check(10)
    with pytest.raises(RequestError, match="more clusters, less noise"):
        shots_for(0.05)


# Verification


def bits(state: torch.Tensor, qubits: int) -> tuple[float, float]:
    """Returns the probability of odd parity in X and of unequal bits in Z, from amplitudes."""
    z = state.abs().square()
    root = torch.tensor([[1, 1], [1, -1]], dtype=state.dtype) * 0.5**0.5
    turned = state.reshape((2,) * qubits)
    for qubit in range(qubits):
        turned = torch.tensordot(root, turned, dims=([1], [qubit])).movedim(0, qubit)
    x = turned.reshape(-1).abs().square()
    odd = torch.tensor([k.bit_count() % 2 == 1 for k in range(2**qubits)])
    return float(x[odd].sum()), float(1 - z[0] - z[-1])


def sources(clients: int) -> dict[str, torch.Tensor]:
    """The states that the sources send, as amplitudes."""
    zero = torch.zeros(1, clients, dtype=torch.float64), torch.zeros(0, dtype=torch.float64)
    ghz = states(family("ghz_phase_sum", qubits=clients), *zero)[0]
    smaller = states(family("ghz_phase_sum", qubits=clients - 1), zero[0][:, 1:], zero[1])[0]
    plus = torch.full((2,), 0.5**0.5, dtype=ghz.dtype)
    every = torch.full((2**clients,), 2 ** (-clients / 2), dtype=ghz.dtype)
    return {"ghz": ghz, "plus_one": torch.kron(plus, smaller), "plus_all": every}


@pytest.mark.parametrize("clients", [2, 3, 5])
def test_what_each_source_fails_follows_from_its_state(clients):
    for source, state in sources(clients).items():
        x, z = bits(state, clients)
        assert failing(source, clients, "X", 0.0, 1.0) == pytest.approx(x, abs=1e-12)
        assert failing(source, clients, "Z", 0.0, 1.0) == pytest.approx(z, abs=1e-12)
    assert failing("plus_all", clients, "Z", 0.0, 1.0) == 1 - 2.0 ** (1 - clients)
    if clients > 2:
        assert failing("plus_one", clients, "Z", 0.0, 1.0) == 0.5


def within(seen: float, expected: float, repeats: int) -> bool:
    """Whether a frequency is within three standard deviations of its probability."""
    return abs(seen - expected) <= 3 * np.sqrt(expected * (1 - expected) / repeats)


@pytest.mark.parametrize(("source", "q"), [("plus_one", 0.5), ("plus_all", 1 - 2.0**-4)])
@pytest.mark.parametrize("tests", [1, 3, 12])
def test_a_false_source_is_caught_as_often_as_it_should(source, q, tests):
    clients, repeats = 5, 4000
    rng = STREAMS("caught", source, tests)
    expected = 1 - (1 - q / 2) ** tests
    assert caught(source, clients, tests) == pytest.approx(expected)
    assert within(
        np.mean([failures(source, clients, tests, rng) > 0 for _ in range(repeats)]), expected, repeats
    )
    # The same from the states themselves: a coin for each test state, then its outcomes in Z or in X.
    odd_X, unequal_Z = bits(sources(clients)[source], clients)
    rng = STREAMS("caught from amplitudes", source, tests)
    in_Z = rng.random((repeats, tests)) < 0.5
    failed = rng.random((repeats, tests)) < np.where(in_Z, unequal_Z, odd_X)
    assert within(failed[in_Z].mean(), q, int(in_Z.sum()))
    assert not failed[~in_Z].any(), "parity in X alone sees neither source"
    assert within(failed.any(axis=1).mean(), expected, repeats)
    assert failures("ghz", clients, 10_000, rng) == 0


def test_noise_is_not_taken_for_an_attack_nor_an_attack_for_noise():
    noise = {"depolarizing": 0.01}
    limit = allowed(400, mean_failing("ghz", 5, **noise))
    rng = STREAMS("noise")
    assert limit > 0 and max(failures("ghz", 5, 400, rng, 0.01) for _ in range(500)) <= limit
    assert min(failures("plus_one", 5, 400, rng, 0.01) for _ in range(500)) > limit
    assert caught("plus_one", 5, 400, **noise) > 0.999


# The protocol


def test_the_sum_has_the_error_of_the_formula():
    found = updates(6, 5000, spread=0.01)
    total = add_up(GhzPhase(shots=4096), found)
    error = rms(total.mean - true_sum(found, range(6)))
    assert error == pytest.approx(0.1 / (0.9 * np.pi) / 64, rel=0.05)
    assert (total.cost.qubits, total.cost.circuits) == (6, 2)
    assert total.cost.states == total.cost.shots == 2 * 4096 * 5000
    assert total.cost.bytes_up == {"roll": 0, "turns": 0}


def test_robust_estimation_gives_more_for_less():
    found = updates(6, 5000, spread=0.01)
    total = add_up(GhzPhase(robust=True), found)
    error = rms(total.mean - true_sum(found, range(6)))
    assert error <= 0.1 / (0.9 * np.pi) * 2e-3 and total.cost.states == 384 * 5000
    assert total.cost.circuits == 16


def test_groups_keep_the_visibility_that_one_large_state_loses():
    found = updates(12, 4000, spread=0.01)
    truth = true_sum(found, range(12))
    one, four = (
        rms(add_up(GhzPhase(depolarizing=0.03, clusters=count), found).mean - truth) for count in (1, 4)
    )
    assert one / four == pytest.approx(0.96**3 / 0.96**12 * 2, rel=0.2)  # and four sums average their noise
    groups = clusters(tuple(range(12)), 4, STREAMS("groups"))
    assert sorted(k for group in groups for k in group) == list(range(12))
    assert {len(group) for group in groups} == {3}
    assert len(clusters((1, 2, 3), 4, STREAMS("few"))) == 1


def test_numbers_out_of_range_are_clipped_and_counted_and_never_wrap():
    found = {k: np.array([5.0, -7.0, 0.02, 0.1], np.float32) for k in range(4)}
    protocol = GhzPhase(shots=65_536)
    total = add_up(protocol, found)
    np.testing.assert_allclose(total.mean, [0.1, -0.1, 0.02, 0.1], atol=1e-3)
    end = protocol.open(Streams(5)).client(job(found), 0, found[0])
    assert end.notes == {"clipped": 2}


def test_lost_states_are_sent_again_or_cost_visibility():
    found = updates(4, 2000, spread=0.01)
    truth = true_sum(found, range(4))
    again = add_up(GhzPhase(loss=0.1), found)
    assert again.cost.shots == 2 * 4096 * 2000
    assert again.cost.states == pytest.approx(again.cost.shots / 0.9**4, rel=1e-3)
    assert again.notes["lost_states"] == again.cost.states - again.cost.shots
    unseen = add_up(GhzPhase(loss=0.1, lost="unnoticed"), found)
    ratio = rms(unseen.mean - truth) / rms(again.mean - truth)
    assert ratio == pytest.approx(1 / 0.9**4, rel=0.06)


def test_who_vanishes_with_a_qubit_costs_the_states_and_changes_nothing_else():
    found = updates(5, 1000, spread=0.01)
    total = add_up(GhzPhase(), found, leaves={2: "turns"})
    assert total.clients == (0, 1, 3, 4) and total.notes["wasted_states"] == 2 * 4096 * 1000
    assert total.cost.states == 2 * total.cost.shots and total.cost.qubits == 4
    truth = true_sum(found, total.clients) / total.weight
    assert rms(total.mean - truth) == pytest.approx(0.1 / (0.9 * np.pi) / 64 / total.weight, rel=0.1)
    early = add_up(GhzPhase(), found, leaves={2: "roll"})
    assert early.clients == total.clients and "wasted_states" not in early.notes


def test_a_client_left_alone_is_not_read():
    found = updates(4, 10)
    with pytest.raises(SumAbortedError, match="would be its update"):
        add_up(GhzPhase(), found, leaves={0: "turns", 1: "turns", 2: "roll"})
    protocol = GhzPhase(clusters=2)
    groups = protocol.open(Streams(5)).groups(job(found))
    lost, alone = groups[0].clients
    total = add_up(protocol, found, leaves={lost: "turns"})
    assert total.clients == groups[1].clients and total.notes["alone"] == [alone]


def test_a_false_source_ends_the_round_before_anybody_turns():
    found = updates(5, 10)
    for source in ("plus_one", "plus_all"):
        phases_seen = []
        with pytest.raises(SumAbortedError, match="test states were not"):
            add_up(
                GhzPhase(verify=60, source=source),
                found,
                spy=lambda phase, *_, seen=phases_seen: seen.append(phase),
            )
        assert phases_seen == ["roll", "tests"]
    assert add_up(GhzPhase(verify=60), found).notes["failed_tests"] == 0
    untested = add_up(GhzPhase(source="plus_one"), found)
    assert untested.notes["read_clients"] == [0]


def test_the_circuits_give_the_protocol_what_the_formula_gives():
    found = updates(3, 6, spread=0.03)
    truth = true_sum(found, range(3))
    for options in ({"executor": "statevector"}, {"executor": "statevector", "robust": True}):
        assert rms(add_up(GhzPhase(**options), found).mean - truth) < 2.5e-3


@pytest.mark.parametrize(
    ("options", "clients", "sentence"),
    [
        ({"clusters": 3}, 5, "use at most 2 clusters"),
        ({"depolarizing": 0.3, "shots": 64}, 10, "estimates are no estimates"),
        ({"verify": 2, "depolarizing": 0.05}, 8, "pass more often than not"),
    ],
)
def test_a_plan_that_cannot_work_is_refused(options, clients, sentence):
    with pytest.raises(RequestError, match=sentence):
        GhzPhase(**options).check(clients)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"levels": 5}, "belongs to robust"),
        ({"executor": "statevector", "depolarizing": 0.1}, "has no noise"),
        ({"executor": "statevector", "loss": 0.1, "lost": "unnoticed"}, "only executor formula"),
        ({"executor": "statevector", "source": "plus_all"}, "is an attack"),
        ({"executor": "abacus"}, "unknown executor"),
    ],
)
def test_options_that_exclude_each_other_are_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        GhzPhase(**options)


def test_a_seed_gives_the_same_sum_twice():
    found = updates(4, 100)
    one, other = (add_up(GhzPhase(loss=0.05, verify=20), found) for _ in range(2))
    assert np.array_equal(one.total, other.total) and one.cost == other.cost

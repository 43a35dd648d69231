"""The QFT sum: exact mod 2^m by circuit and by formula, a lost photon seen, the protocol."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from qfedfm.circuits import family
from qfedfm.core.errors import RequestError
from qfedfm.core.random import Streams
from qfedfm.quantum import expectations, states
from qfedfm.security.summation import QftSum, SumAbortedError
from qfedfm.security.summation.qft_sum.circuit import measured_sums, outcome_chances, with_copy

sys.path.insert(0, str(Path(__file__).parent))
from summing import add_up, job, true_sum, updates

STREAMS = Streams(8)
NOTHING = torch.zeros(0, dtype=torch.float64)


@pytest.mark.parametrize("clients", range(2, 7))
@pytest.mark.parametrize("bits", range(1, 6))
def test_one_shot_is_the_sum_mod_2_to_the_m(clients, bits):
    half = 2 ** (bits - 1)
    numbers = STREAMS("numbers", clients, bits).integers(-half, half + 1, (clients, 30))
    numbers[:, 0], numbers[:, 1] = half, -half
    generator = torch.Generator().manual_seed(0)
    found = measured_sums(numbers, bits, "statevector", generator)
    assert np.array_equal(found, numbers.sum(axis=0) % 2**bits)


def test_the_distribution_of_outcomes_is_the_circuits():
    circuit = family("qft_sum", qubits=4, clients=3)
    for numbers in ([1.0, 5.0, 12.0], [0.3, 2.25, -7.1]):
        state = states(circuit, torch.tensor([numbers], dtype=torch.float64), NOTHING)[0]
        np.testing.assert_allclose(state.abs().square(), outcome_chances(sum(numbers), 4), atol=1e-12)
    assert outcome_chances(18.0, 4)[2] == pytest.approx(1)


@pytest.mark.parametrize("lost", [0, 2])
@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_lost_photon_is_seen_in_the_copy_whoever_takes_its_place(lost, after):
    bits, numbers = 3, torch.tensor([[1.0, 3.0, 2.0]], dtype=torch.float64)
    whole = expectations(with_copy(3, bits), numbers, NOTHING)[0].tolist()
    assert whole == pytest.approx([-1, -1, 1, 1, 1, 1])  # 6, and no copy differs
    broken = expectations(with_copy(3, bits, lost, after), numbers, NOTHING)[0].tolist()
    copies = broken[bits:]
    assert copies[lost] == pytest.approx(0)  # half of the time; that a photon is missing is seen always
    assert [c for q, c in enumerate(copies) if q != lost] == pytest.approx([1, 1])
    with pytest.raises(RequestError, match="there are 3 and 3"):
        with_copy(3, 3, lost=3)


def integers(found, protocol, who):
    what, streams = job(found), Streams(5)
    scale = protocol.levels(len(found)) / protocol.bound
    return sum(
        np.floor(
            what.weights[k] * np.clip(found[k], -protocol.bound, protocol.bound).astype(float) * scale
            + streams("rounding", 0, k).random(what.size)
        )
        for k in who
    )


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_the_sum_is_the_integer_sum(bits):
    protocol, found = QftSum(bits=bits), updates(5, 400, spread=0.5)
    total = add_up(protocol, found)
    expected = integers(found, protocol, range(5)) * (protocol.bound / protocol.levels(5))
    np.testing.assert_array_equal(total.total, expected)
    assert (total.cost.qubits, total.cost.states, total.cost.shots) == (2 * bits, 400, 400)


def test_nothing_overflows_when_all_are_at_the_bound():
    for sign in (1, -1):
        found = {k: np.full(50, 9.0 * sign, np.float32) for k in range(6)}
        total = add_up(QftSum(bits=6), found)
        assert total.mean == pytest.approx(np.full(50, sign), abs=6 / QftSum(bits=6).levels(6))
    end = QftSum().open(Streams(5)).client(job(found), 0, found[0])
    assert end.notes == {"clipped": 50}


def test_the_circuits_give_what_the_formula_gives():
    found = updates(4, 12, spread=0.3)
    one, other = (add_up(QftSum(bits=6, executor=e), found) for e in ("formula", "statevector"))
    assert np.array_equal(one.total, other.total)


def test_lost_photons_and_clients_cost_states_only():
    found = updates(4, 5000, spread=0.1)
    total = add_up(QftSum(bits=8, loss=0.01), found)
    assert np.array_equal(total.total, add_up(QftSum(bits=8), found).total)
    assert total.cost.states == pytest.approx(5000 / 0.99**40, rel=0.02)
    left = add_up(QftSum(), found, leaves={1: "turns"})
    assert left.clients == (0, 2, 3) and left.notes["wasted_states"] == 5000
    np.testing.assert_allclose(left.total, true_sum(found, left.clients), atol=1e-4)
    with pytest.raises(SumAbortedError, match="1 client is left"):
        add_up(QftSum(), found, leaves={1: "turns", 2: "turns", 3: "roll"})


@pytest.mark.parametrize(
    ("options", "clients", "sentence"),
    [
        ({}, 1, "over one client"),
        ({"bits": 4}, 6, "need at least 5"),
        ({"loss": 0.2}, 10, "all arrive with probability"),
    ],
)
def test_a_plan_that_cannot_work_is_refused(options, clients, sentence):
    with pytest.raises(RequestError, match=sentence):
        QftSum(**options).check(clients)
    QftSum(bits=5).check(6)

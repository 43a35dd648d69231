import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from qfedfm.core.random import Streams
from qfedfm.experiment.statistics import (
    bootstrap_interval,
    holm,
    mean_interval,
    paired_difference,
    sign_flip,
    wilson,
)

A = [0.80, 0.82, 0.79, 0.85, 0.81]
B = [0.83, 0.84, 0.80, 0.86, 0.85]


def test_mean_interval_by_hand_and_by_scipy():
    # mean 0.814, s = sqrt(0.00212/4) = 0.0230217..., t(4, 0.975) = 2.776445
    found = mean_interval(A)
    half = 2.7764451 * math.sqrt(0.00212 / 4) / math.sqrt(5)
    assert found.value == pytest.approx(0.814)
    assert found.interval == pytest.approx((0.814 - half, 0.814 + half), abs=1e-8)
    peer = scipy.stats.t.interval(0.95, 4, loc=np.mean(A), scale=scipy.stats.sem(A))
    assert found.interval == pytest.approx(peer, abs=1e-12)


@pytest.mark.parametrize("values", [[0.5], [0.1, 0.1, 0.1]])
def test_one_seed_or_no_variance_gives_no_interval_and_says_so(values):
    found = mean_interval(values)
    assert found.value == values[0] and found.interval is None and "no interval" in found.note


@pytest.mark.parametrize("values", [[], [float("nan")], [1.0, float("inf")]])
def test_what_has_no_mean_is_refused(values):
    with pytest.raises(ValueError, match="interval needs"):
        mean_interval(values)


def test_paired_test_is_scipys_and_the_permutation_test_is_exact():
    found = paired_difference(A, B)
    assert found.difference.value == pytest.approx(0.022)
    assert found.p_t == pytest.approx(scipy.stats.ttest_rel(B, A).pvalue, abs=1e-12)
    # All five differences are positive: only the observed pattern and its mirror reach so far, 2/32.
    assert found.p_sign_flip == found.smallest_p == 2 / 32
    mixed = paired_difference([0.0] * 4, [3.0, 1.0, -1.0, 2.0])
    peer = scipy.stats.permutation_test(
        ([3.0, 1.0, -1.0, 2.0],), np.mean, permutation_type="samples", n_resamples=np.inf
    )
    assert mixed.p_sign_flip == pytest.approx(peer.pvalue)
    assert mixed.p_sign_flip == 6 / 16  # by hand: sums 7, 5, 5 (a one flipped) and their mirrors


def test_one_pair_and_equal_differences_give_no_t_test():
    one = paired_difference([0.5], [0.6])
    assert (one.p_t, one.p_sign_flip, one.difference.interval) == (None, None, None)
    same = paired_difference([0.7, 0.8, 0.6], [0.8, 0.9, 0.7])  # 0.1 each, up to rounding
    assert same.p_t is None and same.difference.interval is None and same.p_sign_flip == 2 / 8
    none = paired_difference(A, A)
    assert none.p_t is None and none.p_sign_flip == 1.0 and none.difference.value == 0.0


def test_many_pairs_draw_from_a_stream_and_need_one():
    d = np.linspace(-0.5, 1.0, 20)
    with pytest.raises(ValueError, match="generator"):
        sign_flip(d)
    p = sign_flip(d, Streams(1)("flip"))
    assert p == sign_flip(d, Streams(1)("flip"))
    assert p == pytest.approx(scipy.stats.ttest_1samp(d, 0).pvalue, abs=0.01)
    assert sign_flip(np.ones(40), Streams(1)("flip")) == 1 / 100_001
    with pytest.raises(ValueError, match="pairs"):
        paired_difference([1.0, 2.0], [1.0])


def test_holm_by_hand():
    # sorted 0.01, 0.03, 0.04 times 3, 2, 1 = 0.03, 0.06, 0.04, then made monotone
    assert holm([0.04, None, 0.01, 0.03]) == pytest.approx([0.06, None, 0.03, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0] and holm([]) == [] and holm([None]) == [None]


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_never_lowers_a_p_and_keeps_their_order(values):
    corrected = holm(values)
    assert all(p <= q <= 1 for p, q in zip(values, corrected, strict=True))
    order = sorted(range(len(values)), key=lambda i: values[i])
    assert [corrected[i] for i in order] == sorted(corrected)


@pytest.mark.parametrize(("correct", "total"), [(0, 10), (10, 10), (842, 1000), (1, 3)])
def test_wilson_is_scipys(correct, total):
    peer = scipy.stats.binomtest(correct, total).proportion_ci(method="wilson")
    found = wilson(correct, total)
    assert found.value == correct / total
    assert found.interval == pytest.approx((peer.low, peer.high), abs=1e-12)


def test_wilson_by_hand_and_its_limits():
    # Newcombe (1998), table I: 81 of 263 gives 0.2553 to 0.3662
    assert wilson(81, 263).interval == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 0).value is None and wilson(0, 0).note
    with pytest.raises(ValueError, match="impossible"):
        wilson(3, 2)


def test_bootstrap_of_a_mean_is_close_to_its_normal_interval_and_repeats():
    x = np.random.default_rng(0).normal(size=400)

    def statistic(index):
        return np.stack(
            [x[index].mean(axis=1), np.full(len(index), 2.0), np.full(len(index), np.nan)], axis=1
        )

    mean, constant, undefined = bootstrap_interval(statistic, 400, Streams(3)("b"), count=4000)
    half = 1.96 * x.std() / 20
    assert mean.interval == pytest.approx((x.mean() - half, x.mean() + half), abs=0.01)
    assert constant.value == 2.0 and constant.interval is None and constant.note
    assert undefined.value is None and undefined.note
    again = bootstrap_interval(statistic, 400, Streams(3)("b"), count=4000)
    assert again[0] == mean
    with pytest.raises(ValueError, match="examples"):
        bootstrap_interval(statistic, 0, Streams(3)("b"))

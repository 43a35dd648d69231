"""The certificate against dense matrices, in float32 as it is used and in float64."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from cohorts import MIXED, SIZES, make, product, result

from qfedfm.aggregation import (
    BestRank,
    FedExLora,
    FedIT,
    FedSVD,
    FFALora,
    FlexLora,
    FLora,
    HetLora,
    LoraFair,
    RoLora,
)
from qfedfm.aggregation.certificate import certify, verify
from qfedfm.core.errors import RunError

EXACT = [
    (FLora(), {}),
    (FedExLora(), {}),
    (FFALora(), {"common_A": True}),
    (RoLora(), {"common_A": True}),
    (RoLora(), {"common_B": True}),
    (FedSVD(), {"common_A": True}),
]


def certificate(made, rule):
    combined, _ = rule.combine({}, made.cohort)
    weights = rule.weights(made.cohort)
    found = certify(made.cohort, combined, weights)
    verify(made.cohort, combined, weights, found)
    return found[0]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("rule", "common"), EXACT, ids=lambda v: getattr(v, "kind", str(v)))
def test_exact_rules_in_float32(rule, common, size):
    assert certificate(make(**SIZES[size], **common, dtype=torch.float32), rule).error <= 1e-6


@pytest.mark.parametrize("size", MIXED)
def test_flora_is_exact_for_mixed_ranks_in_float32(size):
    assert certificate(make(**MIXED[size], dtype=torch.float32), FLora()).error <= 1e-6


@pytest.mark.parametrize("size", {**SIZES, **MIXED})
@pytest.mark.parametrize(
    "rule", [FedIT(), HetLora(), LoraFair(), FlexLora(), BestRank()], ids=lambda r: r.kind
)
def test_inexact_rules_have_their_dense_error(rule, size):
    options = {**SIZES, **MIXED}[size]
    if "ranks" in options and not rule.mixed_ranks:
        return
    made = make(**options)
    expected = np.linalg.norm(made.exact() - product(made, rule)) / np.linalg.norm(made.exact())
    assert certificate(made, rule).error == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("size", {**SIZES, **MIXED})
def test_the_error_of_the_best_rank_is_the_discarded_singular_values(size):
    made = make(**{**SIZES, **MIXED}[size])
    sigma = np.linalg.svd(made.exact(), compute_uv=False)
    rank = made.start[0].shape[0]
    expected = np.linalg.norm(sigma[rank:]) / np.linalg.norm(sigma)
    for rule in (FlexLora(), BestRank()):
        assert certificate(made, rule).error == pytest.approx(expected, abs=1e-6)


def test_no_cancellation_near_zero():
    """Clients that differ by 1e-9: a difference of traces would drown, the stacked QR does not."""
    made = make(30, 20, 3, 3, equal=True)
    noise = (
        1e-9 * torch.randn(made.cohort.delta_KD.shape, generator=torch.Generator().manual_seed(0)).double()
    )
    found = certificate(
        replace(made, cohort=replace(made.cohort, delta_KD=made.cohort.delta_KD + noise)), FedIT()
    )
    assert 1e-20 < found.error < 1e-15 or found.error < 1e-14


def test_a_sum_of_zero_is_flagged():
    made = make(4, 5, 2, 2)
    start = made.cohort.start.clone()
    start[10:18] = 0
    cohort = replace(made.cohort, start=start, delta_KD=torch.zeros_like(made.cohort.delta_KD))
    found = certificate(replace(made, cohort=cohort), FedIT())
    assert found.zero and found.error == 0 and found.rank == 0 and found.drift == 0


def test_rank_and_drift():
    made = make(30, 20, 3, 4)
    found = certificate(made, FedIT())
    assert found.rank == 12
    start = made.cohort.scale * made.start[1] @ made.start[0]
    moved = [s * b @ a - start for s, a, b in zip(made.s, made.A, made.B, strict=True)]
    mean = sum(p * m for p, m in zip(made.p, moved, strict=True))
    spread = sum(p * np.linalg.norm(m) ** 2 for p, m in zip(made.p, moved, strict=True))
    apart = sum(p * np.linalg.norm(m - mean) ** 2 for p, m in zip(made.p, moved, strict=True))
    assert found.drift == pytest.approx(np.sqrt(apart / spread), abs=1e-9)
    assert certificate(make(30, 20, 3, 4, equal=True), FedIT()).drift == pytest.approx(0, abs=1e-6)


def test_the_drift_does_not_depend_on_the_gauge():
    plain, turned = (certificate(make(30, 20, 3, 4, gauge=g), FedIT()).drift for g in (None, 1))
    assert plain == pytest.approx(turned, abs=1e-9)


def test_verify_notices_a_wrong_certificate():
    made = make(4, 5, 2, 3)
    combined, _ = FedIT().combine({}, made.cohort)
    weights = FedIT().weights(made.cohort)
    found = certify(made.cohort, combined, weights)
    with pytest.raises(RunError, match="the dense matrices give"):
        verify(made.cohort, combined, weights, (replace(found[0], error=found[0].error + 1e-3),))


def test_residuals_count(made=None):
    made = make(8, 9, 2, 3)
    _, _, R, combined, _ = result(made, FedExLora())
    assert np.abs(R).max() > 0.1
    without = replace(combined, frozen={})
    assert certify(made.cohort, without, FedIT().weights(made.cohort))[0].error > 0.1

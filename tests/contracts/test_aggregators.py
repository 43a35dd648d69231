"""What every aggregation rule must do, whatever its method: the room's union is the list."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
import torch

from qfedfm.aggregation import AggregationConfig, Rule

sys.path.insert(0, str(Path(__file__).parents[1] / "aggregation"))
from cohorts import make

RULES: list[type[Rule]] = list(get_args(get_args(AggregationConfig)[0]))
COMMON = {"ffa_lora": {"common_A": True}, "rolora": {"common_A": True}, "fedsvd": {"common_A": True}}


def cohort(rule: Rule, **options):
    return make(12, 9, 3, 4, **(COMMON.get(rule.kind, {}) | {"dtype": torch.float32} | options)).cohort


def super_weights(rule: Rule, given):
    """By examples alone."""
    return Rule.weights(rule, given).float()


@pytest.fixture(params=RULES, ids=lambda rule: rule.model_fields["kind"].default)
def rule(request) -> Rule:
    return request.param()


def test_it_names_its_paper_on_line_one(rule):
    first = (sys.modules[type(rule).__module__].__doc__ or "").splitlines()[0]
    assert "arXiv:" in first or (rule.kind == "best_rank" and "1936" in first)


def test_it_is_a_frozen_value_that_survives_a_file(rule):
    assert type(rule).model_validate(rule.plain()) == rule
    with pytest.raises(ValueError, match="frozen"):
        rule.kind = "other"


def test_combine_is_a_pure_function(rule):
    given = cohort(rule)
    before, start = given.delta_KD.clone(), given.start.clone()
    state = rule.init(start)
    first, _ = rule.combine(state, given)
    second, _ = rule.combine(state, given)
    assert torch.equal(first.delta, second.delta)
    assert torch.equal(given.delta_KD, before) and torch.equal(given.start, start)


def test_it_returns_the_shape_and_type_it_was_given(rule):
    for dtype in (torch.float32, torch.float64):
        given = cohort(rule, dtype=dtype)
        combined, state = rule.combine(rule.init(given.start), given)
        assert combined.delta.shape == given.start.shape and combined.delta.dtype == dtype
        assert torch.isfinite(combined.delta).all()
        assert all(isinstance(tensor, torch.Tensor) for tensor in state.values())
        for module, (B, A) in combined.frozen.items():
            assert module == "layer" and B.dtype == A.dtype == dtype
            assert (B.shape[0], A.shape[1]) == (12, 9) and B.shape[1] == A.shape[0]
        assert bool(combined.frozen) == rule.moves_frozen


def test_tensors_that_are_not_adapters_are_averaged_by_examples(rule):
    given = cohort(rule)
    combined, _ = rule.combine(rule.init(given.start), given)
    weights = torch.tensor(given.examples, dtype=torch.float32)
    if rule.weighs_content:
        weights = rule.weights(given).float()
        assert rule.sees == "individuals" and not torch.allclose(weights, super_weights(rule, given))
    rows = given.layout.view(given.delta_KD)["head/output.weight"]
    expected = weights / weights.sum() @ rows
    torch.testing.assert_close(given.layout.view(combined.delta)["head/output.weight"], expected)


def test_weights_add_up_and_follow_the_option(rule):
    given = cohort(rule)
    assert float(rule.weights(given).sum()) == pytest.approx(1)
    if rule.weighs_content:
        return
    uniform = type(rule)(weighting="uniform").weights(given)
    assert torch.equal(uniform, torch.full((4,), 0.25).double())


def test_what_sees_a_sum_only_needs_a_sum(rule):
    """A rule that says so gives the same for one client whose update is the weighted mean."""
    if rule.sees != "sum":
        return
    given = cohort(rule)
    mean = (rule.weights(given).float() @ given.delta_KD).unsqueeze(0)
    one = replace(given, clients=(0,), delta_KD=mean, examples=(7,))
    expected, found = (rule.combine(rule.init(c.start), c)[0].delta for c in (given, one))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_mixed_ranks_where_it_says_so(rule):
    if not rule.mixed_ranks:
        return
    given = cohort(rule, ranks=(1, 2, 3, 2))
    combined, _ = rule.combine(rule.init(given.start), given)
    assert torch.isfinite(combined.delta).all()

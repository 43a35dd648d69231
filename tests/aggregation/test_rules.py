"""Every rule against its formula in dense float64, and the laws that all of them obey."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from cohorts import MIXED, SIZES, make, product, result

from qfedfm.aggregation import (
    BestRank,
    FedAvg,
    FedExLora,
    FedIT,
    FedSALora,
    FedSVD,
    FFALora,
    FlexLora,
    FLora,
    HetLora,
    LoraFair,
    ModelSoup,
    RoLora,
)
from qfedfm.core.errors import RequestError

CLOSE = {"rtol": 0, "atol": 1e-10}
ANY = {**SIZES, **MIXED}
RULES = [
    FedAvg(), FedIT(), FFALora(), RoLora(), FLora(), FlexLora(), HetLora(), FedExLora(), FedSVD(), LoraFair(),
    FedSALora(), BestRank(), ModelSoup(),
]  # fmt: skip
COMMON = {"ffa_lora": {"common_A": True}, "rolora": {"common_A": True}, "fedsvd": {"common_A": True}}


def close(a, b, scale=1.0):
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-10 * max(1.0, scale))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("rule", [FedAvg(), FedIT(), ModelSoup()], ids=lambda r: r.kind)
def test_factor_means(rule, size):
    made = make(**SIZES[size])
    A, B, R, combined, _ = result(made, rule)
    close(A, sum(p * a for p, a in zip(made.p, made.A, strict=True)))
    close(B, sum(p * b for p, b in zip(made.p, made.B, strict=True)))
    assert not combined.frozen and not R.any()


@pytest.mark.parametrize("size", SIZES)
def test_ffa_lora_and_rolora_move_only_the_factor_they_train_and_are_exact(size):
    for rule, round_number, common in ((FFALora(), 0, "A"), (RoLora(), 0, "A"), (RoLora(), 1, "B")):
        made = make(**SIZES[size], common_A=common == "A", common_B=common == "B")
        names = [n for n in made.cohort.layout.names if not rule.trains(n, round_number)]
        assert names == [f"adapter/layer.lora_{common}"]
        A, B, _, _, _ = result(made, rule)
        close(A if common == "A" else B, made.start[0] if common == "A" else made.start[1])
        close(made.cohort.scale * B @ A, made.exact(), np.abs(made.exact()).max())
    assert [RoLora().trains("adapter/x.lora_B", r) for r in range(4)] == [True, False, True, False]
    assert [RoLora().trains("adapter/x.lora_A", r) for r in range(4)] == [False, True, False, True]
    assert all(RoLora().trains("head/output.weight", r) for r in range(2))


@pytest.mark.parametrize("size", ANY)
def test_flora_merges_the_stack_and_starts_anew(size):
    made = make(**ANY[size])
    A, B, R, combined, _ = result(made, FLora())
    close(R, made.exact(), np.abs(made.exact()).max())
    assert not B.any()
    assert combined.frozen["layer"][0].shape[1] == sum(a.shape[0] for a in made.A)
    bound = 1 / np.sqrt(A.shape[1])
    assert 0 < np.abs(A).max() <= bound and not np.allclose(A, made.start[0])
    np.testing.assert_array_equal(A, result(made, FLora())[0])


def test_flora_weights_the_factors_once():
    """By hand: two clients of weights 1/4 and 3/4, rank 1, scale 2."""
    made = make(2, 2, 1, 2)
    cohort = replace(
        made.cohort,
        examples=(1, 3),
        start=torch.zeros(7, dtype=torch.float64),
        delta_KD=torch.tensor([[1.0, 0, 1, 0, 0, 0, 0], [0, 1, 0, 2, 0, 0, 0]], dtype=torch.float64),
    )
    combined, _ = FLora().combine({}, cohort)
    up, down = combined.frozen["layer"]
    close((up @ down).numpy(), [[0.5, 0], [0, 3.0]])


@pytest.mark.parametrize("size", ANY)
def test_flexlora_and_best_rank_are_the_truncated_svd_of_the_dense_sum(size):
    made = make(**ANY[size])
    rank = made.start[0].shape[0]
    U, sigma, Vt = np.linalg.svd(made.exact())
    best = (U[:, :rank] * sigma[:rank]) @ Vt[:rank]
    A, B, _, _, _ = result(made, FlexLora())
    close(made.cohort.scale * B @ A, best, sigma[0])
    close(A @ A.T, np.eye(rank))
    for client_rank in range(1, rank):  # what a client of a lower rank takes is its best approximation
        close(
            made.cohort.scale * B[:, :client_rank] @ A[:client_rank],
            (U[:, :client_rank] * sigma[:client_rank]) @ Vt[:client_rank],
            sigma[0],
        )
    A, B, _, _, _ = result(made, BestRank())
    close(made.cohort.scale * B @ A, best, sigma[0])
    close(B.T @ B, A @ A.T, sigma[0])


def test_leading_triples_of_large_stacks_are_those_of_the_full_decomposition():
    from qfedfm.aggregation.lowrank import norm, singular

    generator = torch.Generator().manual_seed(0)
    B = torch.randn(500, 320, generator=generator).double() * torch.logspace(0, -3, 320).double()
    A = torch.randn(320, 400, generator=generator).double()
    U, sigma, Vt = singular(B, A)
    few = singular(B, A, count=16)
    torch.testing.assert_close(few[1], sigma[:16], rtol=1e-12, atol=0)
    best, found = (U[:, :16] * sigma[:16]) @ Vt[:16], (few[0] * few[1]) @ few[2]
    assert (best - found).norm() < 1e-11 * best.norm()
    torch.testing.assert_close((U * sigma) @ Vt, B @ A, rtol=0, atol=1e-10)
    assert abs(norm(B, A) - float(sigma.norm())) < 1e-10 * float(sigma.norm())
    # Values far apart: squaring would lose the small ones, so the whole decomposition is used.
    steep = torch.cat([B[:, :1], 1e-9 * B[:, 1:]], dim=1)
    exact = torch.linalg.svdvals(steep @ A)[:16]
    torch.testing.assert_close(singular(steep, A, count=16)[1], exact, rtol=1e-6, atol=0)


def test_best_rank_keeps_directions_without_signal_alive():
    made = make(6, 5, 3, 2, common_A=True, common_B=True)
    for rule in (FlexLora(), BestRank()):
        zero = replace(made.cohort, start=made.cohort.start.clone())
        zero.start[15:33] = 0  # B = 0
        combined, _ = rule.combine({}, replace(zero, delta_KD=torch.zeros_like(made.cohort.delta_KD)))
        view = made.cohort.layout.view(zero.start + combined.delta)
        assert not view["adapter/layer.lora_B"].any()
        close(view["adapter/layer.lora_A"].numpy(), made.start[0])


@pytest.mark.parametrize("size", SIZES)
def test_fedex_lora_is_the_means_and_the_residual(size):
    made = make(**SIZES[size])
    A, B, R, combined, _ = result(made, FedExLora())
    means = result(made, FedIT())
    close(A, means[0])
    close(B, means[1])
    close(R, made.exact() - made.cohort.scale * B @ A, np.abs(made.exact()).max())
    rank = made.start[0].shape[0]
    assert np.linalg.matrix_rank(R, tol=1e-9) <= min((len(made.A) - 1) * rank, *R.shape)
    assert combined.frozen["layer"][0].shape[1] == len(made.A) * rank


def test_fedex_lora_with_scales_of_the_clients_own():
    made = make(20, 30, 4, 3, scales=(1.0, 2.0, 3.0))
    A, B, R, _, _ = result(made, FedExLora())
    close(R, made.exact() - made.cohort.scale * B @ A, np.abs(made.exact()).max())


@pytest.mark.parametrize("size", SIZES)
def test_fedsvd_keeps_the_product_and_makes_a_orthonormal(size):
    made = make(**SIZES[size], common_A=True)
    A, B, _, _, _ = result(made, FedSVD())
    close(made.cohort.scale * B @ A, made.exact(), np.abs(made.exact()).max())
    close(A @ A.T, np.eye(A.shape[0]))
    assert not FedSVD().trains("adapter/layer.lora_A", 0) and FedSVD().moved("adapter/layer.lora_A", 0)


def test_fedsvd_keeps_a_where_the_mean_of_b_is_zero():
    made = make(4, 5, 2, 2, common_A=True)
    cohort = replace(
        made.cohort, delta_KD=torch.zeros_like(made.cohort.delta_KD), start=made.cohort.start.clone()
    )
    cohort.start[10:18] = 0
    combined, _ = FedSVD().combine({}, cohort)
    assert not combined.delta.any()


@pytest.mark.parametrize("ridge", [0.01, 1.0])
@pytest.mark.parametrize("size", SIZES)
def test_lora_fair_is_the_ridge_solution(size, ridge):
    made = make(**SIZES[size])
    A, B, _, _, _ = result(made, LoraFair(ridge=ridge))
    mean_A, mean_B, _, _, _ = result(made, FedIT())
    M = made.exact() / made.cohort.scale
    correction = (
        (M - mean_B @ mean_A) @ mean_A.T @ np.linalg.inv(mean_A @ mean_A.T + ridge * np.eye(len(mean_A)))
    )
    close(A, mean_A)
    close(B, mean_B + correction, np.abs(B).max())

    def objective(delta):
        return np.linalg.norm(M - (mean_B + delta) @ mean_A) ** 2 + ridge * np.linalg.norm(delta) ** 2

    rng = np.random.default_rng(1)
    least = objective(B - mean_B)
    assert all(objective(B - mean_B + 1e-3 * rng.normal(size=B.shape)) > least for _ in range(5))


@pytest.mark.parametrize("size", ANY)
def test_hetlora_pads_with_zeros_and_weights_by_the_size_of_the_product(size):
    made = make(**ANY[size])
    norms = np.array([np.linalg.norm(b @ a) for a, b in zip(made.A, made.B, strict=True)])
    weights = norms / norms.sum()
    A, B, _, combined, _ = result(made, HetLora())
    rank, inputs = made.start[0].shape
    outputs = made.start[1].shape[0]
    close(A, sum(w * a for w, a in zip(weights, made.padded(made.A, (rank, inputs)), strict=True)))
    close(B, sum(w * b for w, b in zip(weights, made.padded(made.B, (outputs, rank)), strict=True)))
    head = made.cohort.layout.view(made.cohort.delta_KD)["head/output.weight"].numpy()
    close(made.cohort.layout.view(combined.delta)["head/output.weight"].numpy(), made.p @ head)


def test_hetlora_prunes_the_rank_of_a_client_whose_last_rows_lost_weight():
    made = make(6, 7, 4, 2)
    cohort = replace(made.cohort, delta_KD=torch.zeros_like(made.cohort.delta_KD))
    view = cohort.layout.view(cohort.delta_KD)
    view["adapter/layer.lora_B"][1] = -0.5 * torch.tensor(made.start[1])
    view["adapter/layer.lora_B"][0] = 0.5 * torch.tensor(made.start[1])
    rule = HetLora(prune=0.75)
    _, state = rule.combine({}, cohort)
    assert dict(rule.ranks(state, {0: 4, 1: 4, 2: 4})) == {0: 4, 1: 3, 2: 4}
    assert HetLora().combine({}, cohort)[1] == {}


def test_fedsa_lora_shares_a_only():
    rule = FedSALora()
    kept = [rule.keeps(n) for n in ("adapter/x.lora_A", "adapter/x.lora_B", "head/output.bias")]
    assert kept == [False, True, True]


def test_a_greedy_soup_takes_what_does_not_harm():
    made = make(2, 3, 2, 4)
    target = made.cohort.start + made.cohort.delta_KD[2]

    def score(vector):
        return -float((vector - target).norm())

    best, _ = ModelSoup(recipe="greedy").combine({}, replace(made.cohort, score=score))
    torch.testing.assert_close(best.delta, made.cohort.delta_KD[2])
    flat, _ = ModelSoup(recipe="greedy").combine({}, replace(made.cohort, score=lambda vector: 0.0))
    torch.testing.assert_close(flat.delta, ModelSoup().combine({}, made.cohort)[0].delta)
    with pytest.raises(RequestError, match="validation_fraction"):
        ModelSoup(recipe="greedy").combine({}, made.cohort)


# What holds for all of them


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.kind)
def test_the_order_of_clients_changes_nothing(rule):
    made = make(12, 9, 3, 5, **COMMON.get(rule.kind, {}))
    order = [3, 0, 4, 1, 2]
    shuffled = replace(
        made.cohort,
        clients=tuple(made.cohort.clients[k] for k in order),
        examples=tuple(made.cohort.examples[k] for k in order),
        delta_KD=made.cohort.delta_KD[order],
    )
    close(product(made, rule), product(replace(made, cohort=shuffled), rule), 10)


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.kind)
def test_one_client_gets_its_product_back(rule):
    made = make(12, 9, 3, 1, **COMMON.get(rule.kind, {}))
    if rule.kind == "fedsa_lora":  # its B is its own: only A is the server's
        close(result(made, rule)[0], made.A[0])
        return
    # LoRA-FAIR's ridge pulls at nothing here: B̄ is already right.
    close(product(made, rule), made.cohort.scale * made.B[0] @ made.A[0], 10)


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.kind)
def test_equal_clients_get_their_product_back(rule):
    made = make(12, 9, 3, 4, equal=True, **COMMON.get(rule.kind, {}))
    close(product(made, rule), made.cohort.scale * made.B[0] @ made.A[0], 10)


@pytest.mark.parametrize("rule", [FLora(), FedExLora(), FlexLora(), BestRank()], ids=lambda r: r.kind)
@pytest.mark.parametrize("client", [0, 2])
def test_the_gauge_of_a_client_changes_nothing(rule, client):
    """(B R, R⁻¹ A) is the same product; the exact and the rank-r rules cannot tell them apart."""
    before, after = make(12, 9, 3, 3), make(12, 9, 3, 3, gauge=client)
    np.testing.assert_allclose(before.exact(), after.exact(), atol=1e-9)
    np.testing.assert_allclose(product(before, rule), product(after, rule), rtol=0, atol=1e-9)


def test_the_gauge_does_change_factor_means():
    assert (
        np.abs(product(make(12, 9, 3, 3), FedIT()) - product(make(12, 9, 3, 3, gauge=1), FedIT())).max() > 0.1
    )


def test_uniform_weights():
    made = make(4, 5, 2, 3)
    A, _, _, _, _ = result(made, FedIT(weighting="uniform"))
    close(A, sum(made.A) / 3)


def test_fedit_is_fedavg_to_the_bit():
    made = make(12, 9, 3, 5, dtype=torch.float32)
    one, other = FedIT().combine({}, made.cohort)[0], FedAvg().combine({}, made.cohort)[0]
    assert torch.equal(one.delta, other.delta)

"""Hand-made cohorts of LoRA factors, and the dense formulas they are judged by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from qfedfm.aggregation import Cohort
from qfedfm.core.random import Streams
from qfedfm.core.tensors import Layout


@dataclass(frozen=True)
class Made:
    """A cohort of one layer and its factors as numpy arrays, cut to each client's rank."""

    cohort: Cohort
    A: list[np.ndarray]
    B: list[np.ndarray]
    start: tuple[np.ndarray, np.ndarray]
    p: np.ndarray
    s: list[float]

    def exact(self) -> np.ndarray:
        """The dense sum of all products."""
        return sum(p * s * B @ A for p, s, A, B in zip(self.p, self.s, self.A, self.B, strict=True))

    def padded(self, factors: list[np.ndarray], shape: tuple[int, int]) -> list[np.ndarray]:
        result = []
        for factor in factors:
            whole = np.zeros(shape)
            whole[: factor.shape[0], : factor.shape[1]] = factor
            result.append(whole)
        return result


def make(
    outputs: int = 2,
    inputs: int = 3,
    rank: int = 2,
    clients: int = 3,
    *,
    ranks: tuple[int, ...] | None = None,
    scale: float = 2.0,
    scales: tuple[float, ...] | None = None,
    common_A: bool = False,
    common_B: bool = False,
    equal: bool = False,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
    head: int = 3,
    gauge: int | None = None,
) -> Made:
    """Makes a cohort whose clients moved both factors, or only what is not common."""
    rng = np.random.default_rng(seed)
    kept = ranks or (rank,) * clients
    start_A, start_B = rng.normal(size=(rank, inputs)), rng.normal(size=(outputs, rank))
    A, B, heads = [], [], []
    for number, r in enumerate(kept):
        if not equal or number == 0:
            moved_A = start_A[:r] + (0 if common_A else rng.normal(size=(r, inputs)))
            moved_B = start_B[:, :r] + (0 if common_B else rng.normal(size=(outputs, r)))
            moved_head = rng.normal(size=head)
        A.append(moved_A.copy())
        B.append(moved_B.copy())
        heads.append(moved_head.copy())
    if gauge is not None:
        turn = np.random.default_rng(1).normal(size=(kept[gauge],) * 2) + 2 * np.eye(kept[gauge])
        B[gauge], A[gauge] = B[gauge] @ turn, np.linalg.solve(turn, A[gauge])
    layout = Layout(
        (
            ("adapter/layer.lora_A", (rank, inputs)),
            ("adapter/layer.lora_B", (outputs, rank)),
            ("head/output.weight", (head,)),
        )
    )
    start = np.concatenate([start_A.ravel(), start_B.ravel(), np.zeros(head)])
    rows = []
    for r, a, b, h in zip(kept, A, B, heads, strict=True):
        delta_A, delta_B = np.zeros((rank, inputs)), np.zeros((outputs, rank))
        delta_A[:r], delta_B[:, :r] = a - start_A[:r], b - start_B[:, :r]
        rows.append(np.concatenate([delta_A.ravel(), delta_B.ravel(), h]))
    examples = tuple(int(n) for n in rng.integers(5, 50, clients))
    cohort = Cohort(
        clients=tuple(range(clients)),
        delta_KD=torch.tensor(np.array(rows), dtype=dtype),
        examples=examples,
        layout=layout,
        start=torch.tensor(start, dtype=dtype),
        ranks=ranks,
        scale=scale,
        scales=scales,
        streams=Streams(5).at("round", 0),
    )
    s = list(scales) if scales else [scale] * clients
    return Made(cohort, A, B, (start_A, start_B), np.array(examples) / sum(examples), s)


SIZES = {
    "2x3": {"outputs": 2, "inputs": 3, "rank": 2},
    "3x2": {"outputs": 3, "inputs": 2, "rank": 1},
    "768": {"outputs": 768, "inputs": 768, "rank": 8, "clients": 4},
}
MIXED = {
    "mixed": {"outputs": 20, "inputs": 30, "rank": 8, "clients": 3, "ranks": (2, 4, 8)},
    "mixed scales": {
        "outputs": 20,
        "inputs": 30,
        "rank": 8,
        "clients": 3,
        "ranks": (2, 4, 8),
        "scales": (8.0, 4.0, 2.0),
    },
}


def result(made: Made, rule, state=None):
    """Returns (A, B, R, combined, state): the next factors and the dense residual, as numpy arrays."""
    combined, after = rule.combine(rule.init(made.cohort.start) if state is None else state, made.cohort)
    assert made.cohort.start is not None
    view = made.cohort.layout.view(made.cohort.start + combined.delta)
    A, B = (view[f"adapter/layer.lora_{x}"].double().numpy() for x in "AB")
    R = np.zeros((B.shape[0], A.shape[1]))
    if "layer" in combined.frozen:
        up, down = (t.double().numpy() for t in combined.frozen["layer"])
        R = up @ down
    return A, B, R, combined, after


def product(made: Made, rule) -> np.ndarray:
    """Returns all that changes the layer after ``rule``, dense."""
    A, B, R, _, _ = result(made, rule)
    return made.cohort.scale * B @ A + R

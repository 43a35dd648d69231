"""Averages that know what a number is: circuit angles on a circle, projections up to a rotation.

Circular mean: Mardia and Jupp, Directional Statistics, 2000, section 2.2. Alignment: orthogonal Procrustes,
Schönemann, 1966. Shapes: K = clients, q = angles of a circuit, D = features.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from qfedfm.aggregation.cohort import Cohort

if TYPE_CHECKING:
    from torch import Tensor

    from qfedfm.aggregation.rule import Rule
    from qfedfm.core.tensors import FlatTensors

ANGLES = "head/circuit.weights"
PROJECTION, OFFSET = "head/projection.weight", "head/projection.bias"
SHORTEST = 1e-9
"""A mean phasor shorter than this has no direction; the angle then stays where it was."""


def circular_mean(angles_Kw: Tensor, start_w: Tensor, p_K: Tensor, period: float) -> Tensor:
    """Returns the weighted circular mean, shape (w,), in the turn that lies nearest to ``start_w``.

    Args:
        angles_Kw: The clients' angles, radians.
        start_w: The global angles before the round.
        p_K: Weights that add up to 1.
        period: After which an angle is the same again.
    """
    import torch

    turn = 2 * math.pi / period
    away = (angles_Kw - start_w) * turn
    sine = torch.einsum("k,kw->w", p_K, away.sin())
    cosine = torch.einsum("k,kw->w", p_K, away.cos())
    known = torch.hypot(sine, cosine) > SHORTEST
    return start_w + torch.where(known, torch.atan2(sine, cosine), torch.zeros_like(sine)) / turn


def aligned_mean(weight_KqD: Tensor, start_qD: Tensor, p_K: Tensor) -> Tensor:
    """Returns ``Σ p_k Q_k P_k``, Q_k the rotation that brings P_k nearest to the global projection, (q, D).

    A circuit does not commute with rotations of its angles, so a rotated projection is another function:
    whether that costs less than averaging directions that cancel is for an experiment to say.
    """
    import torch

    U, _, Vt = torch.linalg.svd(start_qD @ weight_KqD.mT)
    return torch.einsum("k,kqp,kpD->qD", p_K, U @ Vt, weight_KqD)


def bend(rule: Rule, cohort: Cohort, p_K: Tensor, view: FlatTensors) -> None:
    """Replaces the means of angles and projection in ``view``, the combined difference, in place."""
    rows = cohort.layout.view(cohort.delta_KD)
    start = cohort.layout.view(
        cohort.start if cohort.start is not None else cohort.delta_KD.new_zeros(cohort.layout.size)
    )
    if rule.angles == "circular" and ANGLES in cohort.layout.slices:
        begin = start[ANGLES].double()
        mean = circular_mean(rows[ANGLES].double() + begin, begin, p_K, rule.period)
        view[ANGLES].copy_(mean - begin)
    if rule.projection == "aligned" and PROJECTION in cohort.layout.slices:
        begin = start[PROJECTION].double()
        mean = aligned_mean(rows[PROJECTION].double() + begin, begin, p_K)
        view[PROJECTION].copy_(mean - begin)

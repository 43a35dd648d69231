"""What rules share that average some of the clients: distances, sizes, the average of a part.

Shapes: K = clients, d = numbers of an update.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from qfedfm.aggregation.cohort import Cohort
from qfedfm.aggregation.rule import Rule

if TYPE_CHECKING:
    from torch import Tensor

Values = NDArray[np.float64]


class Subset(Rule):
    """The mean of the chosen clients, with weights p_k among them.

    Args:
        keep: The part of the round's clients that is kept, rounded up.
    """

    keep: Annotated[float, Field(gt=0, le=1)] = 0.7

    needs_lora: ClassVar[bool] = False
    needs_individuals: ClassVar[bool] = True
    weighs_content: ClassVar[bool] = True

    def kept(self, clients: int) -> int:
        """Returns m = ⌈keep · K⌉; a product that is whole up to rounding is that number."""
        return max(1, int(np.ceil(round(self.keep * clients, 9))))

    def chosen(self, cohort: Cohort) -> list[int]:
        """Returns the rows of the chosen clients, ascending."""
        raise NotImplementedError

    def weights(self, cohort: Cohort) -> Tensor:
        """Returns w_K, float64, adding up to 1: 0 for who was not chosen."""
        import torch

        p = super().weights(cohort)
        mask = torch.zeros_like(p)
        mask[self.chosen(cohort)] = 1.0
        return p * mask / (p * mask).sum()


def squared_distances(rows_KD: Tensor) -> Values:
    """Returns ‖u_i − u_j‖², shape (K, K), with zero diagonal."""
    rows = rows_KD.double().cpu()
    gram = (rows @ rows.T).numpy()
    squares = np.diag(gram)
    found: Values = np.maximum(0.0, squares[:, None] + squares[None] - 2.0 * gram)
    np.fill_diagonal(found, 0.0)
    return found


def unit_gram(rows_KD: Tensor) -> Values:
    """Returns cos(u_i, u_j), shape (K, K); 0 where one of the two is 0."""
    rows = rows_KD.double().cpu()
    units = rows / rows.norm(dim=1, keepdim=True).clamp_min(1e-300)
    found: Values = (units @ units.T).numpy()
    return found


def part(cohort: Cohort, rows: list[int]) -> Cohort:
    """Returns the cohort of some of its clients."""
    return replace(
        cohort,
        clients=tuple(cohort.clients[k] for k in rows),
        delta_KD=cohort.delta_KD[rows],
        examples=tuple(cohort.examples[k] for k in rows),
        ranks=None if cohort.ranks is None else tuple(cohort.ranks[k] for k in rows),
        scales=None if cohort.scales is None else tuple(cohort.scales[k] for k in rows),
    )

"""What rules share that weigh updates by likeness to the others. After Cao et al., 2021, arXiv:2012.13995.

    r = Σ p_k u_k/‖u_k‖,   w_k ∝ p_k · score_k^power,   score_k from the overlap of u_k with r

(the paper's server compares with an update of its own; here the reference is the clients' mean direction).
Shapes: K = clients, d = numbers of an update.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from qfedfm.aggregation.cohort import Cohort
from qfedfm.aggregation.overlaps import cosines
from qfedfm.aggregation.rule import Rule

if TYPE_CHECKING:
    from torch import Tensor

Values = NDArray[np.float64]


class Similarity(Rule):
    """The mean with weights by likeness; where every score is 0 they are p_k.

    Args:
        power: How sharply likeness weighs.
    """

    power: Annotated[float, Field(gt=0)] = 1.0

    needs_lora: ClassVar[bool] = False
    needs_individuals: ClassVar[bool] = True
    weighs_content: ClassVar[bool] = True

    def scores(self, cosine: Values, rng: np.random.Generator) -> Values:
        """Returns each client's score, shape (K,), at least 0, from the true cosines."""
        raise NotImplementedError

    def weights(self, cohort: Cohort) -> Tensor:
        """Returns w_K, float64, adding up to 1."""
        import torch

        p = super().weights(cohort)
        rows = cohort.delta_KD.double().cpu()
        units = rows / rows.norm(dim=1, keepdim=True).clamp_min(1e-300)
        scores = self.scores(cosines(rows, p @ units), cohort.streams("aggregation", self.kind))
        w = p * torch.from_numpy(scores**self.power)
        return w / w.sum() if float(w.sum()) > 0 else p

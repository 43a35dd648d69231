"""Model soup: the clients' models are averaged once, at the end. Wortsman et al., 2022, arXiv:2203.05482.

``uniform`` averages all; ``greedy`` goes through them from the best on the server's validation data to
the worst and keeps each that does not make the average worse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from qfedfm.aggregation.cohort import Cohort, Combined
from qfedfm.aggregation.rule import Rule, State
from qfedfm.aggregation.subsets import part
from qfedfm.core.errors import RequestError

if TYPE_CHECKING:
    from torch import Tensor


class ModelSoup(Rule):
    """One round of long local training, one average.

    Args:
        recipe: ``uniform``, or ``greedy``, which needs ``data.validation_fraction`` above 0.
    """

    kind: Literal["soup"] = "soup"
    recipe: Literal["uniform", "greedy"] = "uniform"

    needs_lora: ClassVar[bool] = False

    @property
    def sees(self) -> Literal["sum", "individuals"]:
        """``individuals`` for the greedy recipe."""
        return "individuals" if self.recipe == "greedy" else super().sees

    def combine(self, state: State, cohort: Cohort) -> tuple[Combined, dict[str, Tensor]]:
        """Returns the mean of the chosen models."""
        if self.recipe == "uniform":
            return super().combine(state, cohort)
        if cohort.score is None or cohort.start is None:
            raise RequestError(
                "aggregation soup with recipe greedy scores models on the server: set "
                "data.validation_fraction above 0, or use recipe uniform"
            )
        scores = [cohort.score(cohort.start + row) for row in cohort.delta_KD]
        order = sorted(range(len(scores)), key=lambda k: (-scores[k], cohort.clients[k]))
        chosen, best = [order[0]], scores[order[0]]
        for k in order[1:]:
            trial = super().combine(state, part(cohort, sorted([*chosen, k])))[0]
            score = cohort.score(cohort.start + trial.delta)
            if score >= best:
                chosen, best = [*chosen, k], score
        return super().combine(state, part(cohort, sorted(chosen)))

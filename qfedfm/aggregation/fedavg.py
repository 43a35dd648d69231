"""FedAvg: the mean of the updates, weighted by examples. McMahan et al., 2017, arXiv:1602.05629."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from qfedfm.aggregation.cohort import Cohort, Combined
from qfedfm.aggregation.rule import Rule, State
from qfedfm.core.config import Config
from qfedfm.core.errors import RequestError

if TYPE_CHECKING:
    from torch import Tensor


class Swarm(Config):
    """Mixing weights and the server's rate of each round, chosen on the server's validation data.

    A quantum-behaved particle swarm (:mod:`qfedfm.optim.particle_swarm`) goes through factors on the weights
    and on the step, each from 1/range to range; the plain mean is one of its particles and stays unless
    another scores higher.

    Args:
        particles: Points at a time, the plain mean included.
        iterations: Moves of all points; every point is a pass over the validation data.
        range: The largest factor.
    """

    particles: Annotated[int, Field(ge=2)] = 6
    iterations: Annotated[int, Field(ge=1)] = 4
    range: Annotated[float, Field(gt=1)] = 4.0


class FedAvg(Rule):
    """``delta = sum_k p_k delta_k`` with ``p_k = n_k / sum n`` (or ``1 / K`` when uniform).

    Args:
        swarm: Weights and rate chosen on validation data instead; null for the mean. Needs
            ``data.validation_fraction`` above 0.
    """

    kind: Literal["fedavg"] = "fedavg"
    swarm: Swarm | None = None

    needs_lora: ClassVar[bool] = False

    @property
    def sees(self) -> Literal["sum", "individuals"]:
        """``individuals`` where a swarm mixes them."""
        return "individuals" if self.swarm is not None else super().sees

    def combine(self, state: State, cohort: Cohort) -> tuple[Combined, dict[str, Tensor]]:
        """Returns the mean, or the mixture that scores best."""
        if self.swarm is None:
            return super().combine(state, cohort)
        if cohort.score is None or cohort.start is None:
            raise RequestError(
                "aggregation.swarm scores models on the server: set data.validation_fraction above 0, or "
                "leave it out"
            )
        import numpy as np
        import torch

        from qfedfm.optim.particle_swarm import maximise

        score, start, rows = cohort.score, cohort.start, cohort.delta_KD
        p_K, span = self.weights(cohort).numpy(), float(np.log(self.swarm.range))

        def mixed(factors: np.ndarray) -> Tensor:
            own = p_K * np.exp(factors[1:])
            weights = np.exp(factors[0]) * own / own.sum()
            return torch.from_numpy(weights).to(rows) @ rows

        edge = np.full(len(p_K) + 1, span)
        found = maximise(
            lambda factors: score(start + mixed(factors)),
            np.zeros(len(edge)),
            -edge,
            edge,
            cohort.streams("swarm"),
            particles=self.swarm.particles,
            iterations=self.swarm.iterations,
        )
        return Combined(mixed(found.point)), dict(state)

"""What every rule is: the weighted mean of all tensors, in which a rule replaces what it merges otherwise.

Shapes: K = clients, d = number of trainable scalars.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from qfedfm.aggregation.cohort import Cohort, Combined
from qfedfm.aggregation.layers import Factors, Merged, factors, lora_layers, require_matrices
from qfedfm.core.config import Config

if TYPE_CHECKING:
    from torch import Tensor

State = Mapping[str, "Tensor"]


class Rule(Config):
    """The mean with weights ``p_k = n_k / Σn`` (or ``1 / K``); methods override what they change.

    Args:
        weighting: By examples, or all clients alike.
        angles: How circuit angles are averaged: ``plain``, or ``circular`` (the direction of the mean
            phasor, for which an angle and the angle plus ``period`` are the same).
        period: Of the angles, radians: 2π for rotations, 4π where rotations are controlled.
        projection: How a projected head's projection is averaged: ``plain``, or ``aligned`` (each
            client's is first rotated towards the global one; see :mod:`qfedfm.aggregation.heads`).

    Attributes:
        needs_lora: Whether the rule is only defined for LoRA factors.
        mixed_ranks: Whether clients may train different ranks.
        fixed_coordinates: Whether the returned tensors stand in the coordinates in which the clients
            trained, so that momenta, control variates and error memories keep their meaning.
        moves_frozen: Whether the rule changes frozen weights.
        weighs_content: Whether clients' weights depend on what their updates hold.
    """

    kind: str
    weighting: Literal["examples", "uniform"] = "examples"
    angles: Literal["plain", "circular"] = "plain"
    period: Annotated[float, Field(gt=0)] = 6.283185307179586
    projection: Literal["plain", "aligned"] = "plain"

    needs_lora: ClassVar[bool] = True
    mixed_ranks: ClassVar[bool] = False
    fixed_coordinates: ClassVar[bool] = True
    moves_frozen: ClassVar[bool] = False
    needs_individuals: ClassVar[bool] = False
    weighs_content: ClassVar[bool] = False

    @property
    def sees(self) -> Literal["sum", "individuals"]:
        """``sum`` if a weighted sum of the updates is all that the rule needs."""
        bent = self.angles != "plain" or self.projection != "plain"
        return "individuals" if self.needs_individuals or bent else "sum"

    def trains(self, name: str, round_number: int) -> bool:
        """Returns whether clients train the tensor ``name`` in round ``round_number`` (from 0)."""
        return True

    def keeps(self, name: str) -> bool:
        """Returns whether the tensor ``name`` stays with each client and is never averaged."""
        return False

    def moved(self, name: str, round_number: int) -> bool:
        """Returns whether ``combine`` of round ``round_number`` moves ``name`` to what must be sent down."""
        return self.trains(name, round_number)

    def drawn(self, name: str) -> bool:
        """Returns whether clients draw ``name`` anew from the round's stream, so that it never travels."""
        return False

    def ranks(self, state: State, configured: Mapping[int, int]) -> Mapping[int, int]:
        """Returns the rank that each client trains now, from the configured ones."""
        return configured

    def init(self, model: Tensor) -> dict[str, Tensor]:
        """Returns the rule's state before the first round; none by default."""
        return {}

    def weights(self, cohort: Cohort) -> Tensor:
        """Returns p_K, float64, adding up to 1."""
        import torch

        examples = cohort.examples if self.weighting == "examples" else [1] * len(cohort.clients)
        weights = torch.tensor(examples, dtype=torch.float64)
        return weights / weights.sum()

    def combine(self, state: State, cohort: Cohort) -> tuple[Combined, dict[str, Tensor]]:
        """Returns the combined difference, (d,), with what moves frozen weights, and the next state."""
        if self.needs_lora:
            require_matrices(cohort.layout)
        weights = self.weights(cohort).to(cohort.delta_KD.device)
        delta = weights.to(cohort.delta_KD) @ cohort.delta_KD
        frozen: dict[str, tuple[Tensor, Tensor]] = {}
        view = cohort.layout.view(delta)
        for layer in lora_layers(cohort.layout) if self.merges else ():
            found = factors(cohort, layer, weights)
            merged = self.merge(found)
            view[layer.down].copy_(merged.A - found.start[0])
            view[layer.up].copy_(merged.B - found.start[1])
            if merged.residual is not None:
                frozen[layer.module] = tuple(t.to(delta.dtype) for t in merged.residual)  # type: ignore[assignment]
        if self.angles != "plain" or self.projection != "plain":
            from qfedfm.aggregation.heads import bend

            bend(self, cohort, weights, view)
        return Combined(delta, frozen), dict(state)

    @property
    def merges(self) -> bool:
        """Whether :meth:`merge` replaces the mean of the factors."""
        return type(self).merge is not Rule.merge

    def merge(self, found: Factors) -> Merged:
        """Returns the next factors of one layer; by default their means.

        Args:
            found: The clients' factors of the layer, float64.
        """
        A, B = found.mean
        return Merged(A, B)

"""A control: the quantum head with its circuit weights left at their random start.

If it does as well as the quantum head, training the circuit was not what helped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from qfedfm.models.heads.head import Head
from qfedfm.models.heads.projected import ProjectedHead
from qfedfm.models.heads.quantum import CircuitCore, QuantumOptions

if TYPE_CHECKING:
    from qfedfm.core.random import Streams


class FrozenQuantumConfig(QuantumOptions):
    """Options of the quantum head it stands for; see :class:`QuantumOptions`."""

    kind: Literal["frozen_quantum"] = "frozen_quantum"

    def build(
        self, features: int, classes: int, streams: Streams, *, device: str = "cpu", **execution: Any
    ) -> Head:
        """Returns the head; see :meth:`HeadOptions.build`."""
        core = CircuitCore(self.build_circuit(), device, frozen=streams, **self.execution(execution))
        return ProjectedHead(core, features, classes, self.bound)

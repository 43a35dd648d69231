"""A control: the quantum head without gates on two or more qubits.

Its qubits are independent, so a classical computer simulates it in linear time; if it does as well as
the quantum head, entanglement was not what helped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from qfedfm.models.heads.head import Head
from qfedfm.models.heads.projected import ProjectedHead
from qfedfm.models.heads.quantum import CircuitCore, QuantumOptions

if TYPE_CHECKING:
    from qfedfm.core.random import Streams


class UnentangledConfig(QuantumOptions):
    """Options of the quantum head it stands for; see :class:`QuantumOptions`."""

    kind: Literal["unentangled"] = "unentangled"

    def build(
        self, features: int, classes: int, streams: Streams, *, device: str = "cpu", **execution: Any
    ) -> Head:
        """Returns the head; see :meth:`HeadOptions.build`."""
        circuit = self.build_circuit().without_entanglers()
        return ProjectedHead(
            CircuitCore(circuit, device, **self.execution(execution)), features, classes, self.bound
        )

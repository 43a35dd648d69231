"""The quantum head: projection to angles, a variational circuit, expectation values, a linear layer.

Shapes: K = clients, B = batch, q = circuit inputs, o = observables, w = trained circuit weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from qfedfm.circuits import Circuit, families, family, family_options
from qfedfm.core.config import nearest
from qfedfm.core.errors import RequestError
from qfedfm.models.heads.head import Head, HeadOptions, uniform
from qfedfm.models.heads.projected import ProjectedHead
from qfedfm.quantum import check_executor

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from qfedfm.core.random import Streams

_USUAL_BATCH = 32


class QuantumOptions(HeadOptions):
    """What the quantum head and the controls that stand for it share.

    Args:
        qubits: Qubits of the circuit.
        layers: Repetitions of its trained block.
        family: The circuit's family (``qfedfm circuits list``).
        options: Further options of the family.
        executor: What runs the circuit.
        bound: The largest angle, radians. With π the two ends are the same rotation, so a learning rate
            that drives angles there unlearns what was learned; π/2 does not, but starts slower.
    """

    qubits: Annotated[int, Field(ge=1)] = 4
    layers: Annotated[int, Field(ge=1)] = 2
    family: str = "strongly_entangling"
    options: dict[str, Any] = Field(default_factory=dict)
    executor: str = "statevector"
    bound: Annotated[float, Field(gt=0)] = math.pi

    @field_validator("family")
    @classmethod
    def _known_family(cls, value: str) -> str:
        if value not in families():
            raise ValueError(f"unknown circuit family {value!r}{nearest(value, families())}")
        return value

    @field_validator("executor")
    @classmethod
    def _known_executor(cls, value: str) -> str:
        return check_executor(value)

    @field_validator("options")
    @classmethod
    def _known_options(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        name = info.data.get("family")
        for option in value if name else ():
            valid = family_options(str(name))
            if option not in valid:
                raise ValueError(f"circuit {name} has no option {option!r}{nearest(option, valid)}")
        return value

    def execution(self, instead: dict[str, Any]) -> dict[str, Any]:
        """Returns what runs the circuit and how, with ``instead`` over the options."""
        return {"executor": self.executor} | instead

    def circuit(self) -> Circuit:
        """Returns the circuit that the options name.

        Raises:
            RequestError: If it takes no inputs or has no weights to train, so that it is no head.
        """
        circuit = family(self.family, qubits=self.qubits, layers=self.layers, **self.options)
        for count, what in ((circuit.n_inputs, "inputs"), (circuit.n_weights, "weights to train")):
            if count == 0:
                raise RequestError(
                    f"model.head.family: a circuit {self.family} has no {what}, so it cannot be a head; "
                    "use for example strongly_entangling"
                )
        return circuit


class QuantumConfig(QuantumOptions):
    """Options of the quantum head; see :class:`QuantumOptions`."""

    kind: Literal["quantum"] = "quantum"

    def build(
        self, features: int, classes: int, streams: Streams, *, device: str = "cpu", **execution: Any
    ) -> Head:
        """Returns the head; see :meth:`HeadOptions.build`.

        Raises:
            RequestError: If the circuit does not fit into memory; the message says how much it needs.
        """
        core = CircuitCore(self.circuit(), device, **self.execution(execution))
        return ProjectedHead(core, features, classes, self.bound)


class CircuitCore:
    """A circuit whose weights are trained, all but those whose gradient is identically zero.

    Args:
        circuit: What is run.
        device: Where the tensors lie.
        executor: What runs it.
        frozen: If given, the weights are constants drawn from these streams, and nothing is trained.
        shots: Measurements per expectation value; None for exact values.
        generator: Draws the measurements.
    """

    def __init__(
        self,
        circuit: Circuit,
        device: str,
        *,
        executor: str = "statevector",
        frozen: Streams | None = None,
        shots: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        import torch

        from qfedfm.quantum import check_memory

        check_memory(circuit, _USUAL_BATCH)
        self.circuit = circuit
        self.inputs, self.outputs = circuit.n_inputs, circuit.n_observables
        self._executor, self._shots, self._generator = executor, shots, generator
        silent = set(circuit.zero_gradient_weights)
        trained = [i for i in range(circuit.n_weights) if i not in silent]
        # Row `len(trained)` of the padded weights is the zero that stands for every silent weight.
        place = {weight: row for row, weight in enumerate(trained)}
        self._rows = torch.tensor(
            [place.get(i, len(trained)) for i in range(circuit.n_weights)], device=device
        )
        self._count = len(trained)
        self.entries: tuple[tuple[str, tuple[int, ...]], ...] = ()
        self.constants: dict[str, Tensor] = {}
        if frozen is not None:
            self.constants = {"circuit.weights": self._draw(frozen).to(device)}
        elif trained:
            self.entries = (("circuit.weights", (len(trained),)),)

    def _draw(self, streams: Streams) -> Tensor:
        return uniform((self._count,), math.pi, streams.torch("circuit.weights"))

    def initial(self, streams: Streams) -> dict[str, Tensor]:
        """Returns angles uniform in (-π, π)."""
        return {"circuit.weights": self._draw(streams)} if self.entries else {}

    def apply(self, params: Mapping[str, Tensor], constants: Mapping[str, Tensor], angles: Tensor) -> Tensor:
        """Returns (*K, B, o) expectation values of angles (*K, B, q)."""
        import torch

        from qfedfm.quantum import expectations

        leading = angles.shape[:-2]
        if self.entries:
            weights = params["circuit.weights"]
        elif constants:
            weights = constants["circuit.weights"].expand(*leading, -1)
        else:
            weights = angles.new_zeros(*leading, 0)
        padded = torch.nn.functional.pad(weights, (0, 1))
        return expectations(
            self.circuit,
            angles,
            padded.index_select(-1, self._rows),
            executor=self._executor,
            shots=self._shots,
            generator=self._generator,
            check_finite=False,  # a client that diverges is refused when its update is admitted
        )

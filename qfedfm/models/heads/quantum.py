"""The quantum head: projection to angles, a variational circuit, expectation values, a linear layer.

Shapes: K = clients, B = batch, q = circuit inputs, o = observables, w = trained circuit weights.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from qfedfm.circuits import Circuit, families, family, family_options
from qfedfm.circuits.openqasm import read_qasm, read_qasm_file
from qfedfm.core.config import nearest
from qfedfm.core.errors import RequestError
from qfedfm.models.heads.head import Head, HeadOptions, uniform
from qfedfm.models.heads.projected import ProjectedHead
from qfedfm.quantum import check_executor, resolve_executor
from qfedfm.quantum.ibm.options import HardwareOptions

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from qfedfm.core.random import Streams

_log = logging.getLogger(__name__)
_USUAL_BATCH = 32


class QuantumOptions(HeadOptions):
    """What the quantum head and the controls that stand for it share.

    Args:
        qubits: Qubits of the circuit.
        layers: Repetitions of its trained block.
        family: The circuit's family (``qfedfm circuits list``); null with a circuit of one's own.
        options: Further options of the family.
        circuit: A circuit of one's own instead of a family: the path of an OpenQASM 3 file, whose text takes
            the path's place here, so that a run does not depend on the file any more.
        executor: What runs the circuit; ``auto`` is torch on a GPU and the compiled statevector elsewhere,
            and a run writes down which it was.
        hardware: With executor ``ibm:<backend>`` or ``aer:<fake backend>``: train there, within this budget.
        bound: The largest angle, radians. With π the two ends are the same rotation, so a learning rate
            that drives angles there unlearns what was learned; π/2 does not, but starts slower.
    """

    qubits: Annotated[int, Field(ge=1)] = 4
    layers: Annotated[int, Field(ge=1)] = 2
    family: str | None = "strongly_entangling"
    options: dict[str, Any] = Field(default_factory=dict)
    circuit: str | None = None
    executor: str = "auto"
    hardware: HardwareOptions | None = None
    bound: Annotated[float, Field(gt=0)] = math.pi

    @model_validator(mode="before")
    @classmethod
    def _own_circuit(cls, values: Any) -> Any:
        if not isinstance(values, dict) or not isinstance(values.get("circuit"), str):
            return values
        try:
            text, found = own_circuit(values["circuit"])
        except RequestError as error:
            raise RequestError(f"model.head.circuit: {error}") from error
        sized: dict[str, Any] = {"qubits": found.qubits, "layers": 1, "family": None, "options": {}}
        for key, own in sized.items():
            if key in values and values[key] != own:
                raise RequestError(
                    f"model.head.{key} is {values[key]!r}, but {found.name} is a circuit of its own"
                    + (f" with {own} qubits" if key == "qubits" else "")
                    + "; leave the key out"
                )
        return {**values, **sized, "circuit": text}

    @field_validator("family")
    @classmethod
    def _known_family(cls, value: str | None) -> str | None:
        if value is not None and value not in families():
            raise ValueError(f"unknown circuit family {value!r}{nearest(value, families())}")
        return value

    @model_validator(mode="after")
    def _one_circuit(self) -> Self:
        if self.family is None and self.circuit is None:
            raise RequestError("model.head.family is null: name a family, or give a circuit of your own")
        return self

    @field_validator("executor")
    @classmethod
    def _known_executor(cls, value: str) -> str:
        return check_executor(value)

    @model_validator(mode="after")
    def _budget(self) -> Self:
        real = self.executor.startswith("ibm:")
        on_device = real or self.executor.startswith("aer:fake")
        if self.hardware is not None and not on_device:
            raise RequestError(
                f"model.head.hardware is for executors ibm:<backend> and aer:<fake backend>, and "
                f"model.head.executor is {self.executor!r}"
            )
        if real and self.hardware is None:
            raise RequestError(
                f"model.head.executor is {self.executor!r}: say what training may cost, for example "
                "model.head.hardware={shots: 1024, max_jobs: 100, max_seconds: 600}"
            )
        mode = "job" if self.hardware is None else self.hardware.mode
        if mode != "job" and not (real and not self.executor.startswith("ibm:fake")):
            raise RequestError(
                f"model.head.hardware.mode {mode} has no effect on a fake backend; leave it out"
            )
        return self

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
        given = {name: value for name, value in instead.items() if value is not None}
        on_hardware = self.hardware if not {"executor", "shots"} & set(given) else None
        return {"executor": self.executor, "hardware": on_hardware} | instead

    def resolved(self, device: str) -> Self:
        """Returns the options with ``executor: auto`` replaced by what it is on ``device``."""
        return self.model_copy(update={"executor": resolve_executor(self.executor, device)})

    def build_circuit(self) -> Circuit:
        """Returns the circuit that the options name.

        Raises:
            RequestError: If it takes no inputs or has no weights to train, so that it is no head.
        """
        if self.circuit is not None:
            return own_circuit(self.circuit)[1]
        assert self.family is not None
        circuit = family(self.family, qubits=self.qubits, layers=self.layers, **self.options)
        for count, what in ((circuit.n_inputs, "inputs"), (circuit.n_weights, "weights to train")):
            if count == 0:
                raise RequestError(
                    f"model.head.family: a circuit {self.family} has no {what}, so it cannot be a head; "
                    "use for example strongly_entangling"
                )
        return circuit


_FROM = "// circuit of "


def own_circuit(given: str) -> tuple[str, Circuit]:
    """Returns a user's circuit, and its program with the file's name in the first line.

    Args:
        given: The path of an OpenQASM 3 file, or such a program (which has more than one line).

    Raises:
        RequestError: If the file cannot be read (line and column), or is no head: without inputs or weights.
    """
    if "\n" in given:
        text, program, source = given, given, "circuit"
        if given.startswith(_FROM):  # that line was put there: lines are counted as in the file
            first, _, program = given.partition("\n")
            source = first.removeprefix(_FROM)
        found = read_qasm(program, source=source, name=Path(source).stem)
    else:
        path = Path(given)
        found = read_qasm_file(path)
        text = f"{_FROM}{path.name}\n{path.read_text(encoding='utf-8')}"
        for note in found.notes:
            _tell(note)
    for count, what, how in (
        (found.circuit.n_inputs, "inputs", "input float[64] x_0;"),
        (found.circuit.n_weights, "weights to train", "input float[64] w_0;"),
    ):
        if count == 0:
            where = given if "\n" not in given else found.circuit.name
            raise RequestError(f"{where} has no {what}, so it cannot be a head; declare for example {how}")
    return text, found.circuit


@lru_cache(maxsize=64)
def _tell(note: str) -> None:
    """Tells the user once."""
    _log.warning(note)


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
        core = CircuitCore(self.build_circuit(), device, **self.execution(execution))
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
        hardware: How it is trained on a device; without gradients it is simulated exactly then.
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
        hardware: HardwareOptions | None = None,
    ) -> None:
        import torch

        from qfedfm.quantum import check_memory

        check_memory(circuit, _USUAL_BATCH)
        self.circuit = circuit
        self.inputs, self.outputs = circuit.n_inputs, circuit.n_observables
        self.executor, self._shots, self._generator = executor, shots, generator
        self._hardware = hardware
        silent = set(circuit.zero_gradient_weights)
        trained = [i for i in range(circuit.n_weights) if i not in silent]
        # Row `len(trained)` of the padded weights is the zero that stands for every silent weight.
        place = {weight: row for row, weight in enumerate(trained)}
        self._rows = torch.tensor(
            [place.get(i, len(trained)) for i in range(circuit.n_weights)], device=device
        )
        self.trained = tuple(trained)
        self._count = len(trained)
        self.entries: tuple[tuple[str, tuple[int, ...]], ...] = ()
        self.constants: dict[str, Tensor] = {}
        if frozen is not None:
            self.constants = {"circuit.weights": self._draw(frozen).to(device)}
        elif trained:
            self.entries = (("circuit.weights", (len(trained),)),)

    @contextmanager
    def sampling(self, shots: int | None, generator: torch.Generator | None) -> Iterator[None]:
        """Estimates expectation values from ``shots`` measurements inside; None for exact values."""
        before = self._shots, self._generator
        self._shots, self._generator = shots, generator
        try:
            yield
        finally:
            self._shots, self._generator = before

    def _draw(self, streams: Streams) -> Tensor:
        return uniform((self._count,), math.pi, streams.torch("circuit.weights"))

    def initial(self, streams: Streams) -> dict[str, Tensor]:
        """Returns angles uniform in (-π, π)."""
        return {"circuit.weights": self._draw(streams)} if self.entries else {}

    def weights(
        self, params: Mapping[str, Tensor], constants: Mapping[str, Tensor], angles: Tensor
    ) -> Tensor:
        """Returns all weights of the circuit, (*K, w), those without gradient as 0."""
        import torch

        leading = angles.shape[:-2]
        if self.entries:
            weights = params["circuit.weights"]
        elif constants:
            weights = constants["circuit.weights"].expand(*leading, -1)
        else:
            weights = angles.new_zeros(*leading, 0)
        return torch.nn.functional.pad(weights, (0, 1)).index_select(-1, self._rows)

    def apply(self, params: Mapping[str, Tensor], constants: Mapping[str, Tensor], angles: Tensor) -> Tensor:
        """Returns (*K, B, o) expectation values of angles (*K, B, q)."""
        import torch

        from qfedfm.quantum import expectations

        weights = self.weights(params, constants, angles)
        if self._hardware is not None:
            if not torch.is_grad_enabled():
                return expectations(self.circuit, angles, weights, "statevector", check_finite=False)
            return expectations(
                self.circuit,
                angles,
                weights,
                self.executor,
                shots=self._hardware.shots,
                gradient=self._hardware.gradient,
                check_finite=False,
            )
        return expectations(
            self.circuit,
            angles,
            weights,
            executor=self.executor,
            shots=self._shots,
            generator=self._generator,
            check_finite=False,  # a client that diverges is refused when its update is admitted
        )

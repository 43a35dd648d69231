"""The immutable circuit: gates, observables, and named registers of inputs and weights."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

from qfedfm.circuits.angle import Angle
from qfedfm.circuits.gates import CONTROLS, GATES, Primitive
from qfedfm.core.config import nearest
from qfedfm.core.errors import RequestError


@dataclass(frozen=True, slots=True)
class Gate:
    """A gate by name, the qubits it acts on (controls first) and its angles."""

    name: str
    qubits: tuple[int, ...]
    angles: tuple[Angle, ...] = ()

    def __post_init__(self) -> None:
        kind = GATES.get(self.name)
        if kind is None:
            raise RequestError(f"unknown gate {self.name!r}{nearest(self.name, GATES)}")
        if len(self.qubits) != kind.qubits or len(set(self.qubits)) != kind.qubits:
            raise RequestError(f"gate {self.name} takes {kind.qubits} different qubits, got {self.qubits}")
        if len(self.angles) != kind.angles:
            raise RequestError(f"gate {self.name} takes {kind.angles} angles, got {len(self.angles)}")

    @property
    def controls(self) -> int:
        """How many of the first qubits are controls."""
        return CONTROLS.get(self.name, 0)

    def primitives(self) -> list[Primitive]:
        """Returns the Pauli rotations and permutations the gate is made of, in order."""
        return GATES[self.name].decompose(self.qubits, self.angles)


PauliString = tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Observable:
    """A real sum of Pauli strings: ``terms`` holds ``(coefficient, ((qubit, letter), ...))``."""

    terms: tuple[tuple[float, PauliString], ...]

    @property
    def qubits(self) -> frozenset[int]:
        """All qubits that are measured."""
        return frozenset(qubit for _, string in self.terms for qubit, _ in string)

    @property
    def diagonal(self) -> bool:
        """Whether only ``Z`` occurs."""
        return all(letter == "Z" for _, string in self.terms for _, letter in string)

    def label(self) -> str:
        """Returns for example ``Z0`` or ``0.5 X0Y1 - Z2``."""
        text = ""
        for coefficient, string in self.terms:
            name = "".join(f"{letter}{qubit}" for qubit, letter in string) or "1"
            size = "" if abs(coefficient) == 1 else f"{abs(coefficient):.4g} "
            sign = (" - " if text else "-") if coefficient < 0 else (" + " if text else "")
            text += f"{sign}{size}{name}"
        return text


def pauli(letters: str, *qubits: int, coefficient: float = 1.0) -> Observable:
    """Returns one Pauli string as an observable, for example ``pauli("XZ", 0, 2)``.

    Raises:
        RequestError: Letters and qubits do not match, or a letter is none of X, Y, Z.
    """
    if len(letters) != len(qubits) or len(set(qubits)) != len(qubits):
        raise RequestError(f"observable {letters!r} needs {len(letters)} different qubits, got {qubits}")
    if set(letters) - set("XYZ"):
        raise RequestError(f"observable {letters!r} has a letter other than X, Y, Z")
    return Observable(((float(coefficient), tuple(sorted(zip(qubits, letters, strict=True)))),))


@dataclass(frozen=True, slots=True)
class Register:
    """A named block of consecutive inputs or weights; ``shape`` is how people think of it."""

    name: str
    start: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Circuit:
    """What is run: nothing in it changes, and nothing of it depends on who runs it.

    Attributes:
        qubits: Number of qubits.
        gates: The gates in order; all qubits start in 0.
        observables: What is measured; one expectation value each.
        inputs: Registers of the inputs (one value per sample).
        weights: Registers of the weights (one value per client).
        name: The family, or the stem of the file it came from.
        amplitudes: Whether the inputs are the ``2**qubits`` amplitudes of the initial state
            (normalised by the executor) rather than angles.
    """

    qubits: int
    gates: tuple[Gate, ...]
    observables: tuple[Observable, ...]
    inputs: tuple[Register, ...] = ()
    weights: tuple[Register, ...] = ()
    name: str = "circuit"
    amplitudes: bool = field(default=False)

    def __post_init__(self) -> None:
        if self.qubits < 1:
            raise RequestError(f"a circuit needs at least one qubit, got {self.qubits}")
        for registers, what in ((self.inputs, "input"), (self.weights, "weight")):
            end = 0
            for register in registers:
                if register.start != end:
                    raise RequestError(f"{what} register {register.name!r} must start at {end}")
                end += register.size
        for gate in self.gates:
            if max(gate.qubits) >= self.qubits or min(gate.qubits) < 0:
                raise RequestError(f"gate {gate.name} on qubits {gate.qubits}: there are {self.qubits}")
            for angle in gate.angles:
                if not math.isfinite(angle.offset):
                    raise RequestError(
                        f"gate {gate.name} on qubits {gate.qubits} has an angle that is not finite"
                    )
                for kind, index in angle.symbols:
                    count = self.n_inputs if kind == "x" else self.n_weights
                    if not 0 <= index < count:
                        raise RequestError(f"gate {gate.name} uses {kind}{index}, but there are only {count}")
        if not self.observables:
            raise RequestError(f"circuit {self.name!r} has no observables: name at least one")
        for observable in self.observables:
            for qubit in sorted(observable.qubits):
                if not 0 <= qubit < self.qubits:
                    raise RequestError(
                        f"observable {observable.label()} is on qubit {qubit}, but the circuit has qubits "
                        f"0 to {self.qubits - 1}"
                    )

    @cached_property
    def n_inputs(self) -> int:
        """How many inputs a sample has."""
        return sum(register.size for register in self.inputs)

    @cached_property
    def n_weights(self) -> int:
        """How many weights there are, those with zero gradient included."""
        return sum(register.size for register in self.weights)

    @property
    def n_observables(self) -> int:
        """How many expectation values come out."""
        return len(self.observables)

    @cached_property
    def depth(self) -> int:
        """The longest chain of gates, each gate counted as one."""
        levels = [0] * self.qubits
        for gate in self.gates:
            level = 1 + max(levels[qubit] for qubit in gate.qubits)
            for qubit in gate.qubits:
                levels[qubit] = level
        return max(levels)

    @cached_property
    def two_qubit_count(self) -> int:
        """How many gates act on two or more qubits."""
        return sum(len(gate.qubits) > 1 for gate in self.gates)

    @cached_property
    def zero_gradient_weights(self) -> tuple[int, ...]:
        """Weights that change no expectation value, whatever the inputs and the other weights."""
        from qfedfm.circuits.facts import zero_gradient_weights

        return zero_gradient_weights(self)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of what the circuit computes, hexadecimal; the name does not enter."""
        text = repr(
            (self.qubits, self.gates, self.observables, self.n_inputs, self.n_weights, self.amplitudes)
        )
        return hashlib.sha256(text.encode()).hexdigest()

    def primitives(self) -> Iterator[Primitive]:
        """Yields the Pauli rotations and permutations of all gates, in order."""
        for gate in self.gates:
            yield from gate.primitives()

    def without_entanglers(self) -> Circuit:
        """Returns the same circuit without gates on two or more qubits.

        Weights keep their places; those that only an entangler used have zero gradient now.
        """
        kept = tuple(gate for gate in self.gates if len(gate.qubits) == 1)
        return replace(self, gates=kept, name=f"{self.name}_unentangled")

    def with_observables(self, observables: Iterable[Observable]) -> Circuit:
        """Returns the same circuit with other observables."""
        return replace(self, observables=tuple(observables))

    def draw(self, width: int = 100) -> str:
        """Returns a text drawing, folded at ``width`` characters."""
        from qfedfm.circuits.drawing import draw_text

        return draw_text(self, width)

    def svg(self, *, standalone: bool = False) -> str:
        """Returns a self-contained SVG drawing in the colour of the text around it.

        Args:
            standalone: For a file that is shown as an image: with colours of its own, light and dark.
        """
        from qfedfm.circuits.drawing import draw_svg

        return draw_svg(self, standalone=standalone)

"""From a circuit to what a backend runs: one transpiled circuit, measured in each basis, with its PUBs.

N = samples, n = inputs, m = weights.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from qiskit import ClassicalRegister, QuantumCircuit, qpy
from qiskit.circuit import Parameter
from qiskit.transpiler import PassManager, generate_preset_pass_manager

from qfedfm.circuits import Angle, Circuit, Rotation
from qfedfm.core.errors import RequestError
from qfedfm.quantum.aer_executor import append_primitive
from qfedfm.quantum.ibm.folding import fold
from qfedfm.quantum.ibm.options import JobOptions
from qfedfm.quantum.pauli_strings import AngleColumns, Strings, settings_of, strings_of

Floats = npt.NDArray[np.float64]
#: The name of the classical register that holds what is measured.
REGISTER = "m"


@dataclass(frozen=True)
class Part:
    """One PUB: a transpiled circuit and what it is for.

    Attributes:
        kind: ``setting`` runs the circuit; ``zeros`` and ``ones`` prepare these and are measured.
        circuit: The transpiled circuit.
        measured: Bit j of the register is the circuit's qubit ``measured[j]``.
        members: The Pauli strings that are read off it (positions in the program's strings).
        scale: How often each two-qubit gate stands.
    """

    kind: Literal["setting", "zeros", "ones"]
    circuit: QuantumCircuit
    measured: tuple[int, ...]
    members: tuple[int, ...] = ()
    scale: int = 1

    @property
    def broadcast(self) -> bool:
        """Whether it is run for each sample, and not once for all."""
        return bool(self.circuit.parameters)

    @property
    def hash(self) -> str:
        """SHA-256 of the instructions, hexadecimal; names and Qiskit's versions do not enter."""
        lines = [
            f"{one.operation.name} {[self.circuit.find_bit(qubit).index for qubit in one.qubits]} "
            f"{[str(value) for value in one.operation.params]}"
            for one in self.circuit.data
        ]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@dataclass(frozen=True)
class Program:
    """A circuit made for one backend.

    Attributes:
        circuit: What it computes.
        strings: The Pauli strings of its observables.
        layout: Physical qubit of each qubit of the circuit, where it is measured.
        parts: The PUBs, in order.
        columns: Evaluates the angles of all samples.
        parameters: The names of Qiskit's parameters, one a column.
    """

    circuit: Circuit
    strings: Strings
    layout: tuple[int, ...]
    parts: tuple[Part, ...]
    columns: AngleColumns
    parameters: tuple[str, ...]

    @property
    def two_qubit_gates(self) -> int:
        """Two-qubit gates of the transpiled circuit, unfolded."""
        return two_qubit_count(self.parts[0].circuit)

    def angles(self, inputs: Floats, weights: Floats) -> Floats:
        """Returns the angles ``(N, columns)`` of inputs ``(N, n)`` and weights ``(N, m)``."""
        x = torch.from_numpy(np.ascontiguousarray(inputs, dtype=np.float64)).unsqueeze(1)
        w = torch.from_numpy(np.ascontiguousarray(weights, dtype=np.float64))
        return np.asarray(self.columns(x, w).numpy())

    def pubs(self, angles: Floats) -> list[Any]:
        """Returns what the Sampler takes: each circuit with the angles ``(N, columns)`` that it has.

        A circuit without parameters (a calibration, for one) is run once.
        """
        return [pub(part.circuit, self.parameters, angles) for part in self.parts]

    def runs(self, samples: int) -> int:
        """Returns how many circuits with bound parameters are run for so many samples."""
        return sum(samples if part.broadcast else 1 for part in self.parts)


def pub(circuit: QuantumCircuit, names: Sequence[str], angles: Floats) -> tuple[Any, ...]:
    """Returns one PUB with the columns of ``angles`` that ``circuit`` still has after transpiling."""
    columns = columns_of(circuit, names)
    if not columns:
        return (circuit,)
    return (circuit, {tuple(columns): angles[:, list(columns.values())]})


def columns_of(circuit: QuantumCircuit, names: Sequence[str]) -> dict[Parameter, int]:
    """Returns the column of each parameter of a circuit (matched by name, as it may come from a file)."""
    place = {name: column for column, name in enumerate(names)}
    return {parameter: place[parameter.name] for parameter in circuit.parameters}


def compile_program(circuit: Circuit, backend: Any, options: JobOptions) -> Program:
    """Transpiles a circuit for a backend, once, and appends each basis to it.

    Args:
        circuit: What to run. Inputs must be angles.
        backend: Where.
        options: See there.

    Raises:
        RequestError: Too few qubits, amplitudes as inputs, or a setting without effect.
    """
    from qfedfm.quantum.ibm.backends import is_fake

    if circuit.amplitudes:
        raise RequestError(
            f"circuit {circuit.name} takes amplitudes, and on hardware each sample would be a circuit of its "
            "own; use one whose inputs are angles (the gallery's amplitude files prepare them by gates)"
        )
    if backend.num_qubits < circuit.qubits:
        raise RequestError(
            f"{backend.name} has {backend.num_qubits} qubits, circuit {circuit.name} needs {circuit.qubits}"
        )
    strings = strings_of(circuit)
    base, parameters, angles = untranspiled(circuit)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transpiled = generate_preset_pass_manager(
            optimization_level=options.optimization_level, backend=backend, seed_transpiler=options.seed
        ).run(base)
        finish = _basis_passes(backend.target)
    layout = (
        tuple(transpiled.layout.final_index_layout()) if transpiled.layout else tuple(range(circuit.qubits))
    )
    options.check(fake=is_fake(backend.name), two_qubit_gates=two_qubit_count(transpiled))
    parts: list[Part] = []
    settings = settings_of(strings.strings)
    for scale in options.zne.scales if options.zne else (1,):
        folded = fold(transpiled, scale)
        for letters, members in settings:
            measured = tuple(sorted(letters)) or (0,)
            turned = _measured(folded, measured, layout, letters)
            parts.append(Part("setting", finish.run(turned), measured, tuple(members), scale))
    if options.readout_mitigation:
        everything = tuple(sorted({qubit for part in parts for qubit in part.measured}))
        for kind in ("zeros", "ones"):
            empty = transpiled.copy_empty_like()
            empty.global_phase = 0
            if kind == "ones":
                for qubit in everything:
                    empty.x(layout[qubit])
            calibration = _measured(empty, everything, layout, {})
            parts.append(Part(kind, finish.run(calibration), everything))
    names = tuple(parameter.name for parameter in parameters)
    return Program(circuit, strings, layout, tuple(parts), AngleColumns(circuit, angles), names)


def untranspiled(circuit: Circuit) -> tuple[QuantumCircuit, list[Parameter], list[Angle]]:
    """Returns the circuit of Pauli rotations, a parameter for each angle that is not constant, the angles."""
    parameters: list[Parameter] = []
    angles: list[Angle] = []
    base = QuantumCircuit(circuit.qubits)
    for primitive in circuit.primitives():
        angle: Any = None
        if isinstance(primitive, Rotation):
            angle = primitive.angle.offset
            if primitive.angle.terms:
                angle = Parameter(f"a{len(angles):05d}")
                parameters.append(angle)
                angles.append(primitive.angle)
        append_primitive(base, primitive, angle)
    return base, parameters, angles


def _measured(
    transpiled: QuantumCircuit, measured: Sequence[int], layout: Sequence[int], letters: dict[int, str]
) -> QuantumCircuit:
    """Returns the circuit with each measured qubit turned into its letter's basis and measured."""
    turned = transpiled.copy()
    register = ClassicalRegister(len(measured), REGISTER)
    turned.add_register(register)
    for qubit in measured:
        letter = letters.get(qubit, "Z")
        if letter == "Y":
            turned.sdg(layout[qubit])
        if letter in "XY":
            turned.h(layout[qubit])
    for bit, qubit in enumerate(measured):
        turned.measure(layout[qubit], register[bit])
    return turned


def _basis_passes(target: Any) -> PassManager:
    """Returns the passes that bring single-qubit gates into the target's; others stay as they are."""
    from qiskit.circuit.equivalence_library import SessionEquivalenceLibrary
    from qiskit.transpiler.passes import BasisTranslator, Optimize1qGatesDecomposition

    return PassManager(
        [
            BasisTranslator(SessionEquivalenceLibrary, None, target),
            Optimize1qGatesDecomposition(target=target),
        ]
    )


def two_qubit_count(circuit: QuantumCircuit) -> int:
    """Returns how many gates on two qubits a circuit has."""
    return sum(
        instruction.operation.num_qubits == 2 and instruction.operation.name != "barrier"
        for instruction in circuit.data
    )


def active_qubits(circuit: QuantumCircuit) -> tuple[int, ...]:
    """Returns the physical qubits that gates or measurements act on, sorted."""
    return tuple(
        sorted(
            {
                circuit.find_bit(qubit).index
                for instruction in circuit.data
                if instruction.operation.name != "barrier"
                for qubit in instruction.qubits
            }
        )
    )


def to_qpy(circuits: Sequence[QuantumCircuit]) -> bytes:
    """Returns circuits as QPY, Qiskit's binary format."""
    stream = io.BytesIO()
    qpy.dump([circuit.copy(name=f"part-{k}") for k, circuit in enumerate(circuits)], stream)
    return stream.getvalue()


def from_qpy(content: bytes) -> list[QuantumCircuit]:
    """Returns the circuits of :func:`to_qpy`."""
    return list(qpy.load(io.BytesIO(content)))

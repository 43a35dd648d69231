"""Executor ``pennylane:<device>``: the circuit as a QNode, all samples of all clients in one broadcast."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import numpy as np
import pennylane as qml
import torch
from torch import Tensor

from qfedfm.circuits import Angle, Circuit, Gate
from qfedfm.core.errors import RequestError
from qfedfm.quantum.noise import Noise
from qfedfm.quantum.pauli_strings import AngleColumns, Strings, settings_of, strings_of

OPERATIONS: dict[str, Any] = {
    "id": qml.Identity, "x": qml.PauliX, "y": qml.PauliY, "z": qml.PauliZ, "h": qml.Hadamard,
    "s": qml.S, "t": qml.T, "sx": qml.SX, "rx": qml.RX, "ry": qml.RY, "rz": qml.RZ,
    "p": qml.PhaseShift, "rot": qml.Rot, "u3": qml.U3, "cx": qml.CNOT, "cy": qml.CY, "cz": qml.CZ,
    "ch": qml.CH, "swap": qml.SWAP, "iswap": qml.ISWAP, "crx": qml.CRX, "cry": qml.CRY, "crz": qml.CRZ,
    "cp": qml.ControlledPhaseShift, "rxx": qml.IsingXX, "ryy": qml.IsingYY, "rzz": qml.IsingZZ,
    "ccx": qml.Toffoli, "cswap": qml.CSWAP,
}  # fmt: skip


def apply_gate(gate: Gate, angles: list[Any]) -> None:
    """Queues a gate as PennyLane operation, for use inside a quantum function."""
    wires = list(gate.qubits)
    if gate.name in ("sdg", "tdg"):
        qml.adjoint(OPERATIONS[gate.name[0]](wires=wires))
    else:
        OPERATIONS[gate.name](*angles, wires=wires)


def apply_noise(gate: Gate, noise: Noise) -> None:
    """Queues the errors that follow a gate."""
    if len(gate.qubits) == 2 and noise.depolarizing_two:
        qml.QubitChannel(_two_qubit_kraus(noise.depolarizing_two), wires=list(gate.qubits))
    for qubit in gate.qubits:
        if len(gate.qubits) == 1 and noise.depolarizing:
            qml.DepolarizingChannel(noise.depolarizing, wires=qubit)
        if noise.amplitude_damping:
            qml.AmplitudeDamping(noise.amplitude_damping, wires=qubit)


def _two_qubit_kraus(p: float) -> list[Any]:
    paulis = [np.eye(2), np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1.0, -1.0])]
    weights = [1 - p] + [p / 15] * 15
    pairs = [np.kron(a, b) for a in paulis for b in paulis]
    return [np.sqrt(weight) * pair for weight, pair in zip(weights, pairs, strict=True)]


class Prepared:
    """A circuit as a QNode on one device."""

    def __init__(
        self, circuit: Circuit, device: str, noise: Noise, shots: int | None, seed: int | None
    ) -> None:
        self.circuit = circuit
        self.noise = noise
        self.strings: Strings = strings_of(circuit)
        self._plan: list[list[float | int | Tensor]] = []
        angles: list[Angle] = []
        for gate in circuit.gates:
            row: list[float | int | Tensor] = []
            for angle in gate.angles:
                if angle.terms:
                    row.append(len(angles))
                    angles.append(angle)
                elif len(gate.angles) > 1:  # PennyLane multiplies them with the others, which are tensors
                    row.append(torch.tensor(angle.offset, dtype=torch.float64))
                else:
                    row.append(float(angle.offset))
            self._plan.append(row)
        self.columns = AngleColumns(circuit, angles)
        if noise.on_gates and device != "default.mixed":
            raise RequestError(
                f"noise needs density matrices: use pennylane:default.mixed, not pennylane:{device}"
            )
        options: dict[str, Any] = {} if seed is None else {"seed": seed}
        # Measured bits are flipped one by one by the device; exact values shrink instead.
        self._shrink = noise.readout if shots is None else 0.0
        if noise.readout and shots is not None:
            if device != "default.mixed":
                raise RequestError(
                    "readout errors of single shots need pennylane:default.mixed or aer, "
                    f"not pennylane:{device}"
                )
        self._flips = self._shrink != noise.readout
        try:
            made = qml.device(device, wires=circuit.qubits, **options)
        except Exception as error:
            raise RequestError(f"PennyLane has no usable device {device!r}: {error}") from error
        # Flipped bits are channels after the rotation to the measured basis: one node for each of these.
        everything: list[tuple[dict[int, str] | None, list[int]]] = [
            (None, list(range(len(self.strings.strings))))
        ]
        self._nodes: list[tuple[list[int], Any]] = []
        for letters, members in settings_of(self.strings.strings) if self._flips else everything:
            function = partial(self._function, letters, members)
            node = qml.QNode(function, made, interface="torch", diff_method="best")
            self._nodes.append((members, node if shots is None else qml.set_shots(node, shots=shots)))

    def _function(
        self,
        letters: dict[int, str] | None,
        members: list[int],
        amplitudes: Tensor | None,
        columns: list[Tensor],
    ) -> Any:
        if amplitudes is not None:
            qml.StatePrep(amplitudes, wires=range(self.circuit.qubits), normalize=True)
        for gate, row in zip(self.circuit.gates, self._plan, strict=True):
            apply_gate(gate, [columns[place] if isinstance(place, int) else place for place in row])
            if self.noise.on_gates:
                apply_noise(gate, self.noise)
        strings = [self.strings.strings[number] for number in members]
        if letters is not None:
            for qubit, letter in letters.items():
                if letter == "Y":
                    qml.adjoint(qml.S(qubit))
                if letter in "XY":
                    qml.Hadamard(qubit)
                qml.BitFlip(self.noise.readout, wires=qubit)
            strings = [tuple((qubit, "Z") for qubit, _ in string) for string in strings]
        return [qml.expval(_operator(string)) for string in strings]

    def __call__(self, inputs: Tensor, weights: Tensor) -> Tensor:
        """Returns ``(K, B, observables)`` for inputs ``(K, B, n)`` and weights ``(K, m)``."""
        clients, batch = inputs.shape[:2]
        columns = list(self.columns(inputs, weights).unbind(-1))
        if clients == 1:  # what is the same for all samples need not be broadcast
            columns = [
                column if angle.inputs else column[0]
                for column, angle in zip(columns, self.columns.angles, strict=True)
            ]
        amplitudes = inputs.to("cpu", torch.float64).flatten(0, 1) if self.circuit.amplitudes else None
        rows: list[Any] = [None] * len(self.strings.strings)
        for members, node in self._nodes:
            for number, part in zip(members, node(amplitudes, columns), strict=True):
                rows[number] = torch.as_tensor(part).expand(clients * batch)
        values = self.strings.combine(torch.stack(rows, -1), self._shrink)
        return values.reshape(clients, batch, -1).to(inputs.device, inputs.dtype)


def _operator(string: tuple[tuple[int, str], ...]) -> Any:
    if not string:
        return qml.Identity(0)
    letters = {"X": qml.PauliX, "Y": qml.PauliY, "Z": qml.PauliZ}
    factors = [letters[letter](qubit) for qubit, letter in string]
    return factors[0] if len(factors) == 1 else qml.prod(*factors)


@lru_cache(maxsize=32)
def prepared(circuit: Circuit, device: str, noise: Noise) -> Prepared:
    """Returns the QNode of a circuit for exact values; recent ones are kept."""
    return Prepared(circuit, device, noise, None, None)


def run(
    circuit: Circuit,
    inputs: Tensor,
    weights: Tensor,
    device: str,
    noise: Noise,
    shots: int | None,
    generator: torch.Generator | None,
    gradient: str,
) -> Tensor:
    """Returns ``(K, B, observables)``; with shots, estimates from a device seeded by ``generator``."""
    if gradient == "spsa":
        raise RequestError(f"gradient spsa is of executor aer; pennylane:{device} has its own gradients")
    if shots is None:
        return prepared(circuit, device, noise)(inputs, weights)
    seed = int(torch.randint(2**31 - 1, (), generator=generator))
    return Prepared(circuit, device, noise, shots, seed)(inputs, weights)

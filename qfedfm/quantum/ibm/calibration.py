"""A snapshot of a backend's calibration: the qubits and gates that a circuit uses, as JSON.

What is simulated beside a job's result is simulated from the snapshot, so it is the calibration of the moment
of submission, whatever the backend says when the result is fetched.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from qfedfm.core.config import Config
from qfedfm.quantum.ibm.backends import calibrated

DEFAULT_REP_DELAY = 250e-6
"""Seconds between two shots where a backend does not say (the platform's usual value)."""


class QubitFigures(Config):
    """One qubit: relaxation and dephasing in seconds, frequency in Hz, readout."""

    t1: float | None = None
    t2: float | None = None
    frequency: float | None = None
    readout_error: float = 0.0
    readout_seconds: float = 0.0


class GateFigures(Config):
    """One gate on its qubits: average error (1 - average gate fidelity) and seconds."""

    gate: str
    qubits: tuple[int, ...]
    error: float = 0.0
    seconds: float = 0.0


class Calibration(Config):
    """The part of a backend's calibration that a circuit uses."""

    backend: str
    taken: str | None = None
    rep_delay: float = DEFAULT_REP_DELAY
    qubits: dict[int, QubitFigures] = Field(default_factory=dict)
    gates: tuple[GateFigures, ...] = ()

    def gate(self, name: str, qubits: tuple[int, ...]) -> GateFigures:
        """Returns the figures of a gate; errorless and instantaneous ones (virtual Z) are zero."""
        return self._index().get((name, qubits), GateFigures(gate=name, qubits=qubits))

    def _index(self) -> dict[tuple[str, tuple[int, ...]], GateFigures]:
        return {(gate.gate, gate.qubits): gate for gate in self.gates}

    def noise_model(self, place: dict[int, int]) -> Any:
        """Returns Aer's device noise model of these figures.

        The same functions of Aer that make the noise of a fake backend make it here: depolarizing after
        thermal relaxation for each gate, and a readout matrix for each qubit.

        Args:
            place: Physical qubit to the number it has in the circuit that is simulated.
        """
        from qiskit.circuit import Measure
        from qiskit.circuit.library import standard_gates
        from qiskit.transpiler import InstructionProperties, QubitProperties, Target
        from qiskit_aer.noise import NoiseModel
        from qiskit_aer.noise.device import basic_device_gate_errors, basic_device_readout_errors

        numbers = {new: self.qubits[old] for old, new in place.items()}
        figures = [numbers[k] for k in range(len(numbers))]
        target = Target(
            num_qubits=len(figures),
            qubit_properties=[QubitProperties(t1=q.t1, t2=q.t2, frequency=q.frequency) for q in figures],
        )
        mapping = standard_gates.get_standard_gate_name_mapping()
        by_name: dict[str, dict[tuple[int, ...], Any]] = {}
        for gate in self.gates:
            if all(qubit in place for qubit in gate.qubits):
                where = tuple(place[qubit] for qubit in gate.qubits)
                by_name.setdefault(gate.gate, {})[where] = InstructionProperties(
                    duration=gate.seconds, error=gate.error
                )
        for name, entries in by_name.items():
            target.add_instruction(mapping[name], entries)
        readout = {
            (k,): InstructionProperties(duration=qubit.readout_seconds, error=qubit.readout_error)
            for k, qubit in enumerate(figures)
        }
        target.add_instruction(Measure(), readout)
        model = NoiseModel(basis_gates=[*by_name, "rz", "id"])
        for qubits, error in basic_device_readout_errors(target=target):
            model.add_readout_error(error, qubits)
        for name, qubits, error in basic_device_gate_errors(target=target):
            model.add_quantum_error(error, name, qubits)
        return model


def take_calibration(backend: Any, circuits: list[Any]) -> Calibration:
    """Returns the calibration of what transpiled circuits use.

    Args:
        backend: The backend.
        circuits: Transpiled circuits.
    """
    target = backend.target
    used: set[tuple[str, tuple[int, ...]]] = set()
    qubits: set[int] = set()
    for circuit in circuits:
        for instruction in circuit.data:
            name = instruction.operation.name
            where = tuple(circuit.find_bit(qubit).index for qubit in instruction.qubits)
            qubits.update(where if name != "barrier" else ())
            if name not in ("barrier", "measure"):
                used.add((name, where))
    gates = []
    for name, where in sorted(used):
        found = (target[name] or {}).get(where) if name in target.operation_names else None
        gates.append(
            GateFigures(
                gate=name,
                qubits=where,
                error=float(getattr(found, "error", None) or 0.0),
                seconds=float(getattr(found, "duration", None) or 0.0),
            )
        )
    figures = {}
    for qubit in sorted(qubits):
        physics = target.qubit_properties[qubit] if target.qubit_properties else None
        readout = target["measure"].get((qubit,)) if "measure" in target.operation_names else None
        figures[qubit] = QubitFigures(
            t1=getattr(physics, "t1", None),
            t2=getattr(physics, "t2", None),
            frequency=getattr(physics, "frequency", None),
            readout_error=float(getattr(readout, "error", None) or 0.0),
            readout_seconds=float(getattr(readout, "duration", None) or 0.0),
        )
    return Calibration(
        backend=backend.name,
        taken=calibrated(backend),
        rep_delay=_rep_delay(backend),
        qubits=figures,
        gates=tuple(gates),
    )


def _rep_delay(backend: Any) -> float:
    """Returns the time between two shots, seconds (backends state microseconds or seconds alike)."""
    configuration = backend.configuration() if hasattr(backend, "configuration") else None
    found = getattr(configuration, "default_rep_delay", None)
    return DEFAULT_REP_DELAY if found is None else float(found)

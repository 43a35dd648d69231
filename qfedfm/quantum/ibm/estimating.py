"""What a job will cost and how much of the state will be left, before anything is submitted.

* Fidelity: ``F = prod (1 - error of gate) * prod (1 - readout error)`` over the gates and measured qubits of
  the transpiled circuit, from the calibration (the estimated success probability; no idling, no crosstalk).
* Seconds: ``T = 2 + executions * (repetition delay + circuit duration)`` with ``executions = circuits *
  shots`` and the longest circuit's duration; 2 s stand for loading a job. The platform's figure can differ.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from qfedfm.quantum.ibm.calibration import Calibration
from qfedfm.quantum.ibm.options import JobOptions
from qfedfm.quantum.ibm.program import Program, active_qubits, two_qubit_count

OVERHEAD_SECONDS = 2.0
FIDELITY_FORMULA = "prod(1 - gate error) * prod(1 - readout error)"
SECONDS_FORMULA = "2 + executions * (repetition delay + circuit seconds), executions = circuits * shots"


@dataclass(frozen=True)
class Estimate:
    """What is known of a job before it runs.

    Attributes:
        backend: Its name.
        qubits: Of the circuit.
        physical_qubits: Those that the transpiled circuit uses.
        layout: Where each of the circuit's qubits is measured.
        depth: Of the transpiled circuit with its measurements, the deepest basis, unfolded.
        two_qubit_gates: Of the transpiled circuit, unfolded.
        gates: All its gates, measurements left out.
        circuit_seconds: The longest circuit's duration, readout included.
        fidelity: Expected, of the worst basis, unfolded.
        circuits: Circuits with bound parameters.
        pubs: PUBs in the job.
        shots: Of each circuit.
        executions: Circuits times shots.
        qpu_seconds: Time on the processor.
    """

    backend: str
    qubits: int
    physical_qubits: tuple[int, ...]
    layout: tuple[int, ...]
    depth: int
    two_qubit_gates: int
    gates: int
    circuit_seconds: float
    repetition_delay: float
    fidelity: float
    circuits: int
    pubs: int
    shots: int
    executions: int
    qpu_seconds: float
    fidelity_formula: str = FIDELITY_FORMULA
    seconds_formula: str = SECONDS_FORMULA

    def plain(self) -> dict[str, Any]:
        """Returns JSON-ready builtins."""
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()
        }


def estimate(program: Program, calibration: Calibration, options: JobOptions, samples: int) -> Estimate:
    """Returns the estimate of one job.

    Args:
        program: The transpiled program.
        calibration: Of what it uses.
        options: Shots.
        samples: N.
    """
    plain = [part.circuit for part in program.parts if part.kind == "setting" and part.scale == 1]
    circuits = program.runs(samples)
    executions = circuits * options.shots
    longest = max(duration(part.circuit, calibration) for part in program.parts)
    return Estimate(
        backend=calibration.backend,
        qubits=program.circuit.qubits,
        physical_qubits=active_qubits(plain[0]),
        layout=program.layout,
        depth=max(circuit.depth() for circuit in plain),
        two_qubit_gates=two_qubit_count(plain[0]),
        gates=max(circuit.size() - circuit.count_ops().get("measure", 0) for circuit in plain),
        circuit_seconds=longest,
        repetition_delay=calibration.rep_delay,
        fidelity=min(fidelity(circuit, calibration) for circuit in plain),
        circuits=circuits,
        pubs=len(program.parts),
        shots=options.shots,
        executions=executions,
        qpu_seconds=seconds(executions, calibration.rep_delay, longest),
    )


def seconds(executions: int, repetition_delay: float, circuit_seconds: float) -> float:
    """Returns :data:`SECONDS_FORMULA`."""
    return OVERHEAD_SECONDS + executions * (repetition_delay + circuit_seconds)


def fidelity(circuit: Any, calibration: Calibration) -> float:
    """Returns :data:`FIDELITY_FORMULA` of a transpiled circuit; errors above 1 count as 1."""
    left = 1.0
    for instruction in circuit.data:
        name = instruction.operation.name
        where = tuple(circuit.find_bit(qubit).index for qubit in instruction.qubits)
        if name == "measure":
            left *= 1.0 - min(1.0, calibration.qubits[where[0]].readout_error)
        elif name != "barrier":
            left *= 1.0 - min(1.0, calibration.gate(name, where).error)
    return left


def duration(circuit: Any, calibration: Calibration) -> float:
    """Returns the longest chain of gates and measurements of a transpiled circuit, seconds."""
    ready: dict[int, float] = {}
    for instruction in circuit.data:
        name = instruction.operation.name
        where = tuple(circuit.find_bit(qubit).index for qubit in instruction.qubits)
        if name == "measure":
            takes = calibration.qubits[where[0]].readout_seconds
        else:
            takes = 0.0 if name == "barrier" else calibration.gate(name, where).seconds
        ends = max(ready.get(qubit, 0.0) for qubit in where) + takes
        ready.update(dict.fromkeys(where, ends))
    return max(ready.values(), default=0.0)

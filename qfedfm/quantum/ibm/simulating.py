"""The same job without the device: ideal values, and what the calibration's noise makes of them.

Up to :data:`EXACT_QUBITS` active qubits the noise is exact (density matrices, readout matrices applied to the
probabilities), above it is sampled, and above :data:`SAMPLED_QUBITS` there is none, which the notes say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from qfedfm.circuits import Circuit
from qfedfm.core.errors import RequestError
from qfedfm.quantum.ibm.calibration import Calibration
from qfedfm.quantum.ibm.counts import Distribution
from qfedfm.quantum.ibm.program import REGISTER, Part, active_qubits, columns_of

Floats = npt.NDArray[np.float64]
EXACT_QUBITS = 10
SAMPLED_QUBITS = 24
SAMPLED_SHOTS = 8192


def ideal_values(circuit: Circuit, inputs: Floats, weights: Floats) -> tuple[Floats | None, str]:
    """Returns exact values (N, o) without noise, or None and why not.

    Args:
        circuit: The circuit.
        inputs: Shape (N, n).
        weights: Shape (N, m).
    """
    from qfedfm.quantum.running import expectations

    x = torch.from_numpy(np.ascontiguousarray(inputs, dtype=np.float64)).unsqueeze(1)
    w = torch.from_numpy(np.ascontiguousarray(weights, dtype=np.float64))
    try:
        return np.asarray(expectations(circuit, x, w, "statevector")[:, 0].numpy()), ""
    except RequestError as error:
        return None, f"no ideal values: {error}"


def noisy_distributions(
    parts: Sequence[Part], parameters: Sequence[str], angles: Floats, calibration: Calibration, seed: int
) -> tuple[list[list[Distribution]] | None, str]:
    """Returns what the parts would measure under the calibration's noise, or None and why not.

    Args:
        parts: The program's PUBs.
        parameters: Names of Qiskit's parameters, one a column of the angles.
        angles: Shape (N, columns).
        calibration: Of the qubits and gates that the parts use.
        seed: Of the sampling, where there is any.
    """
    used = sorted({qubit for part in parts for qubit in active_qubits(part.circuit)})
    if len(used) > SAMPLED_QUBITS:
        return None, f"no noisy simulation: {len(used)} qubits are too many (up to {SAMPLED_QUBITS})"
    from qiskit_aer import AerSimulator

    place = {qubit: k for k, qubit in enumerate(used)}
    exact = len(used) <= EXACT_QUBITS
    simulator = AerSimulator(
        method="density_matrix" if exact else "statevector",
        noise_model=calibration.noise_model(place),
        seed_simulator=seed,
    )
    found = []
    for part in parts:
        circuit = _compact(part, place, measure=not exact)
        columns = columns_of(part.circuit, parameters)
        options: dict[str, Any] = {} if exact else {"shots": SAMPLED_SHOTS}
        if columns:
            binds = {parameter: angles[:, column].tolist() for parameter, column in columns.items()}
            options["parameter_binds"] = [binds]
        result = simulator.run(circuit, **options).result()
        rows = []
        for sample in range(len(angles) if columns else 1):
            data = result.data(sample)
            if exact:
                flipped = _flip(np.asarray(data["probabilities"]), part, calibration)
                rows.append(Distribution.of_probabilities(flipped, len(part.measured)))
            else:
                width = len(part.measured)
                counts = {f"{int(k, 16):0{width}b}": int(v) for k, v in data["counts"].items()}
                rows.append(Distribution.of_counts(counts))
        found.append(rows)
    return found, "" if exact else f"the noisy simulation is sampled ({SAMPLED_SHOTS} shots)"


def _compact(part: Part, place: dict[int, int], *, measure: bool) -> Any:
    """Returns the part on the active qubits alone, measured or with its probabilities saved."""
    from qiskit import ClassicalRegister, QuantumCircuit

    source = part.circuit
    compact = QuantumCircuit(len(place))
    if measure:
        compact.add_register(ClassicalRegister(len(part.measured), REGISTER))
    ends: list[int] = [0] * len(part.measured)
    for instruction in source.data:
        where = [place.get(source.find_bit(qubit).index) for qubit in instruction.qubits]
        if instruction.operation.name == "barrier":
            continue
        if instruction.operation.name == "measure":
            bit = source.find_bit(instruction.clbits[0]).index
            ends[bit] = int(where[0])  # type: ignore[arg-type]
            if measure:
                compact.measure(where[0], bit)
            continue
        compact.append(instruction.operation, where)
    if not measure:
        compact.save_probabilities(ends)
    return compact


def _flip(probabilities: Floats, part: Part, calibration: Calibration) -> Floats:
    """Applies the readout matrix of each measured qubit to exact probabilities."""
    source = part.circuit
    errors = [0.0] * len(part.measured)
    for instruction in source.data:
        if instruction.operation.name == "measure":
            bit = source.find_bit(instruction.clbits[0]).index
            qubit = source.find_bit(instruction.qubits[0]).index
            errors[bit] = calibration.qubits[qubit].readout_error
    tensor = probabilities.reshape((2,) * len(errors))
    for bit, error in enumerate(errors):
        axis = len(errors) - 1 - bit  # the first axis is the highest bit
        tensor = (1.0 - error) * tensor + error * np.flip(tensor, axis)
    return tensor.reshape(-1)

"""A job's result: values with standard errors, the ideal and the noisy-simulated value beside them.

N = samples, o = observables.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qfedfm.quantum.ibm.counts import Distribution
from qfedfm.quantum.ibm.ledger import Job
from qfedfm.quantum.ibm.running import rebuilt
from qfedfm.quantum.ibm.simulating import ideal_values, noisy_distributions
from qfedfm.quantum.ibm.values import Values, estimate_values, readout_errors

Floats = npt.NDArray[np.float64]


def result_of(job: Job, found: Sequence[Sequence[Distribution]]) -> dict[str, Any]:
    """Returns the result of what a job measured.

    Args:
        job: The job.
        found: For each PUB, what was measured at each point.

    Returns:
        ``observables``; ``estimates`` by method (``raw``, ``readout``, ``zne``, ``readout+zne``), each with
        ``values`` and ``standard_errors`` (N, o), ``noisy`` (the same from the simulated noise), and
        ``rms_error`` against ``ideal``; ``ideal``; and ``notes``.
    """
    request, state = job.request, job.state
    program, inputs, weights = rebuilt(job)
    options, samples = request.options, len(inputs)
    measured = estimate_values(program.parts, found, program.strings, options, samples)
    ideal, note = ideal_values(program.circuit, inputs, weights)
    notes = [note] if note else []
    angles = program.angles(inputs, weights)
    simulated, note = noisy_distributions(
        program.parts, program.parameters, angles, request.calibration, options.seed
    )
    notes += [note] if note else []
    if options.twirling:
        notes.append("the noisy simulation is without twirling")
    noisy: dict[str, Values] = {}
    if simulated is not None:
        noisy = estimate_values(program.parts, simulated, program.strings, options, samples)
    result: dict[str, Any] = {
        "id": job.id,
        "backend": request.backend,
        "source": request.source,
        "samples": samples,
        "shots": options.shots,
        "jobs": 1,
        "calibrated": request.calibration.taken,
        "usage_seconds": state.usage_seconds,
        "usage_is_estimated": request.fake,
        "observables": [observable.label() for observable in program.circuit.observables],
        "ideal": None if ideal is None else ideal.tolist(),
        "estimates": {
            method: _estimate(values, noisy.get(method), ideal) for method, values in measured.items()
        },
        "notes": notes,
    }
    if options.readout_mitigation:
        errors = readout_errors(program.parts, found).errors
        result["readout_errors"] = {str(qubit): list(pair) for qubit, pair in errors.items()}
    return result


def _estimate(values: Values, noisy: Values | None, ideal: Floats | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "values": values.values.tolist(),
        "standard_errors": values.standard_errors.tolist(),
        "noisy": None if noisy is None else noisy.values.tolist(),
        "noisy_standard_errors": None if noisy is None else noisy.standard_errors.tolist(),
    }
    if ideal is not None:
        found["rms_error"] = _rms(values.values - ideal)
        found["noisy_rms_error"] = None if noisy is None else _rms(noisy.values - ideal)
    return found


def _rms(differences: Floats) -> float:
    return float(np.sqrt(np.mean(differences**2)))

"""Running PUBs through the runtime's client-side Sampler, which is local for fake backends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from qfedfm.circuits import Circuit
from qfedfm.circuits.openqasm import read_qasm
from qfedfm.core.errors import RunError
from qfedfm.quantum.ibm.account import quiet
from qfedfm.quantum.ibm.backends import find_backend
from qfedfm.quantum.ibm.counts import counts_of
from qfedfm.quantum.ibm.ledger import Job, JobRequest
from qfedfm.quantum.ibm.options import JobOptions
from qfedfm.quantum.ibm.program import Part, Program, untranspiled
from qfedfm.quantum.pauli_strings import AngleColumns, settings_of, strings_of


def sampler(mode: Any, options: JobOptions, *, tag: str | None = None, most: float | None = None) -> Any:
    """Returns the Sampler with the job's settings.

    Args:
        mode: A backend, Batch or Session.
        options: Twirling, decoupling, the simulator's seed.
        tag: What the platform finds the job by.
        most: Seconds on the processor after which the platform stops the job.
    """
    from qiskit_ibm_runtime.executor_sampler import Sampler

    found = Sampler(mode=mode)
    found.options.simulator.seed_simulator = options.seed
    found.options.twirling.enable_gates = options.twirling
    found.options.twirling.enable_measure = options.twirling
    if options.dynamical_decoupling != "none":
        found.options.dynamical_decoupling.enable = True
        found.options.dynamical_decoupling.sequence_type = options.dynamical_decoupling
    if tag is not None:
        found.options.environment.job_tags = [tag]
    if most is not None:
        found.options.max_execution_time = max(1, math.ceil(most))
    return found


def circuit_of(request: JobRequest) -> Circuit:
    """Returns the circuit that a job runs."""
    return read_qasm(request.program, source=request.source, name=request.estimate["name"]).circuit


def rebuilt(job: Job) -> tuple[Program, Any, Any]:
    """Returns a job's program from its stored circuits, with inputs (N, n) and weights (N, m).

    Raises:
        RunError: A stored circuit is not the one that was submitted.
    """
    request = job.request
    circuit = circuit_of(request)
    inputs = np.array(request.inputs, dtype=float).reshape(len(request.inputs), -1)
    weights = np.array(request.weights, dtype=float).reshape(len(request.weights), -1)
    parts = parts_of(circuit, job.circuits(), request.options)
    if tuple(part.hash for part in parts) != request.circuits:
        raise RunError(f"{job.folder}: circuits.qpy does not hold the circuits that were submitted")
    return program_of(circuit, parts, request.layout), inputs, weights


def parts_of(circuit: Circuit, circuits: Sequence[Any], options: JobOptions) -> list[Part]:
    """Returns the PUBs of transpiled circuits, in the order in which they were made."""
    settings = settings_of(strings_of(circuit).strings)
    scales = options.zne.scales if options.zne else (1,)
    parts = []
    remaining = list(circuits)
    for scale in scales:
        for letters, members in settings:
            measured = tuple(sorted(letters)) or (0,)
            parts.append(Part("setting", remaining.pop(0), measured, tuple(members), scale))
    everything = tuple(sorted({qubit for part in parts for qubit in part.measured}))
    if remaining:
        parts.append(Part("zeros", remaining[0], everything))
        parts.append(Part("ones", remaining[1], everything))
    return parts


def program_of(circuit: Circuit, parts: Sequence[Part], layout: tuple[int, ...]) -> Program:
    """Returns a program of circuits that are transpiled already."""
    _, parameters, angles = untranspiled(circuit)
    names = tuple(parameter.name for parameter in parameters)
    return Program(circuit, strings_of(circuit), layout, tuple(parts), AngleColumns(circuit, angles), names)


def run_locally(job: Job) -> list[list[dict[str, int]]]:
    """Runs a job on its fake backend and returns the counts."""
    request = job.request
    program, inputs, weights = rebuilt(job)
    backend = find_backend(request.backend)
    return sample(backend, program, program.angles(inputs, weights), request.options)


def sample(backend: Any, program: Program, angles: Any, options: JobOptions) -> list[list[dict[str, int]]]:
    """Runs a program on a fake backend, here and now, and returns the counts."""
    with quiet():
        result = sampler(backend, options).run(program.pubs(angles), shots=options.shots).result()
    return counts_of(result, [len(angles) if part.broadcast else 1 for part in program.parts])

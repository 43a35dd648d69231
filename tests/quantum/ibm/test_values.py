"""From counts to values: unbiased, standard errors that hold, mitigation that inverts what it assumes."""

from __future__ import annotations

import numpy as np
import pytest

from qfedfm.circuits import Circuit, family, pauli
from qfedfm.core.errors import RunError
from qfedfm.quantum.ibm import JobOptions, Zne, compile_program, find_backend
from qfedfm.quantum.ibm.calibration import take_calibration
from qfedfm.quantum.ibm.counts import Distribution
from qfedfm.quantum.ibm.program import Program
from qfedfm.quantum.ibm.running import sample
from qfedfm.quantum.ibm.simulating import ideal_values, noisy_distributions
from qfedfm.quantum.ibm.values import Readout, estimate_values, readout_errors

Points = tuple[np.ndarray, np.ndarray]


def correlated() -> Circuit:
    """Observables that share shots, need several bases, and hold a constant."""
    circuit = family("strongly_entangling", qubits=3, layers=1)
    sums = pauli("ZZ", 0, 1).terms + pauli("Z", 0, coefficient=-0.5).terms + ((0.25, ()),)
    return circuit.with_observables([type(pauli("Z", 0))(sums), pauli("XY", 0, 2), pauli("Z", 2)])


def points(circuit: Circuit, samples: int) -> Points:
    rng = np.random.default_rng(3)
    weights = np.tile(rng.uniform(-3, 3, circuit.n_weights), (samples, 1))
    return rng.uniform(-1, 1, (samples, circuit.n_inputs)), weights


def simulated(program: Program, at: Points, backend: str) -> list[list[Distribution]]:
    calibration = take_calibration(find_backend(backend), [part.circuit for part in program.parts])
    found, note = noisy_distributions(program.parts, program.parameters, program.angles(*at), calibration, 1)
    assert found is not None and not note
    return found


def drawn(exact: list[list[Distribution]], shots: int, rng: np.random.Generator) -> list[list[Distribution]]:
    rows = []
    for part in exact:
        rows.append([])
        for one in part:
            counts = rng.multinomial(shots, np.clip(one.share, 0, None) / one.share.sum())
            seen = counts > 0
            rows[-1].append(Distribution(one.bits[seen], counts[seen] / shots, shots))
    return rows


def test_standard_errors_hold_for_every_method() -> None:
    circuit, backend = correlated(), find_backend("fake_manila")
    options = JobOptions(readout_mitigation=True, zne=Zne(scales=(1, 3)))
    at = points(circuit, 2)
    program = compile_program(circuit, backend, options)
    exact = simulated(program, at, "fake_manila")
    truth = estimate_values(program.parts, exact, program.strings, options, 2)
    assert set(truth) == {"raw", "readout", "zne", "readout+zne"}
    rng, trials, shots = np.random.default_rng(5), 120, 500
    pulls: dict[str, list[np.ndarray]] = {method: [] for method in truth}
    for _ in range(trials):
        found = estimate_values(program.parts, drawn(exact, shots, rng), program.strings, options, 2)
        for method, values in found.items():
            pulls[method].append((values.values - truth[method].values) / values.standard_errors)
    for method, rows in pulls.items():
        stacked = np.array(rows)
        assert np.abs(stacked.mean(0)).max() < 5 / np.sqrt(trials), method
        # 720 pulls in all, of which those of one trial share its calibration: the spread is known to 5 %.
        assert 0.85 < np.sqrt((stacked**2).mean()) < 1.15, method


def test_mitigation_moves_the_values_towards_ideal() -> None:
    circuit = correlated()
    options = JobOptions(readout_mitigation=True, zne=Zne())
    at = points(circuit, 4)
    ideal, note = ideal_values(circuit, *at)
    assert ideal is not None and not note
    for name in ("fake_manila", "fake_lima", "fake_torino"):
        program = compile_program(circuit, find_backend(name), options)
        found = estimate_values(
            program.parts, simulated(program, at, name), program.strings, options, len(at[0])
        )
        error = {m: float(np.sqrt(np.mean((v.values - ideal) ** 2))) for m, v in found.items()}
        assert error["readout"] < 0.8 * error["raw"]
        assert error["zne"] < error["raw"]
        assert error["readout+zne"] < 0.5 * error["readout"]


def test_readout_mitigation_inverts_readout_errors_alone() -> None:
    circuit, options = correlated(), JobOptions(readout_mitigation=True)
    at = points(circuit, 2)
    backend = find_backend("fake_manila")
    program = compile_program(circuit, backend, options)
    calibration = take_calibration(backend, [part.circuit for part in program.parts])
    quiet = calibration.model_copy(
        update={
            "gates": tuple(gate.model_copy(update={"error": 0, "seconds": 0}) for gate in calibration.gates)
        }
    )
    found, _ = noisy_distributions(program.parts, program.parameters, program.angles(*at), quiet, 1)
    assert found is not None
    values = estimate_values(program.parts, found, program.strings, options, 2)
    ideal, _ = ideal_values(circuit, *at)
    assert ideal is not None
    np.testing.assert_allclose(values["readout"].values, ideal, atol=1e-10)
    assert np.abs(values["raw"].values - ideal).max() > 0.01
    errors = readout_errors(program.parts, found).errors
    for qubit, pair in errors.items():
        expected = calibration.qubits[program.layout[qubit]].readout_error
        assert pair == pytest.approx((expected, expected), abs=1e-12)


def test_a_readout_that_tells_nothing_is_refused() -> None:
    circuit, options = correlated(), JobOptions(readout_mitigation=True)
    program = compile_program(circuit, find_backend("fake_manila"), options)
    even = Distribution(np.array([[0, 0, 0], [1, 1, 1]], dtype=np.uint8), np.array([0.5, 0.5]), 100)
    with pytest.raises(RunError, match="tells nothing"):
        readout_errors(program.parts, [[even]] * len(program.parts))
    assert Readout({0: (0.1, 0.2)}, None).errors[0] == (0.1, 0.2)


def test_the_noisy_simulation_is_that_of_the_runtimes_local_mode() -> None:
    circuit, backend = correlated(), find_backend("fake_manila")
    options = JobOptions(shots=4000, readout_mitigation=True, zne=Zne(scales=(1, 3)))
    at = points(circuit, 3)
    program = compile_program(circuit, backend, options)
    exact = estimate_values(program.parts, simulated(program, at, "fake_manila"), program.strings, options, 3)
    counts = sample(backend, program, program.angles(*at), options)
    measured = [[Distribution.of_counts(one) for one in rows] for rows in counts]
    found = estimate_values(program.parts, measured, program.strings, options, 3)
    for method, values in found.items():
        off = np.abs(values.values - exact[method].values) / values.standard_errors
        assert off.max() < 5, method


def test_twirling_runs_locally() -> None:
    circuit, backend = correlated(), find_backend("fake_manila")
    options = JobOptions(shots=2000, twirling=True)
    at = points(circuit, 2)
    program = compile_program(circuit, backend, options)
    counts = sample(backend, program, program.angles(*at), options)
    measured = [[Distribution.of_counts(one) for one in rows] for rows in counts]
    found = estimate_values(program.parts, measured, program.strings, options, 2)["raw"]
    ideal, _ = ideal_values(circuit, *at)
    assert ideal is not None
    assert np.abs(found.values - ideal).max() < 0.3
    assert sum(counts[0][0].values()) >= 2000

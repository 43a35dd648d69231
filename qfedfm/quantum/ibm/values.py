"""From what was measured to expectation values: standard errors, readout mitigation, extrapolation.

A Pauli string on qubits S is the mean of ``prod_{q in S} f_q(bit_q)``. Raw, ``f = (1, -1)``. With readout
mitigation (tensored: errors of different qubits independent; Bravyi et al., 2021, arXiv:2006.14044),
``f = (1, -1) A^-1`` with the readout matrix ``A = [[1-e0, e1], [e0, 1-e1]]``, where ``e0`` is how often
a prepared 0 reads 1 and ``e1`` how often a prepared 1 reads 0:

    f(0) = (1 + e0 - e1) / (1 - e0 - e1),   f(1) = -(1 - e0 + e1) / (1 - e0 - e1).

Standard errors hold the spread of the shots (variances of whole observables within a measurement, so that
strings read off the same shots are not taken for independent) and, with mitigation, that of e0 and e1 by
their derivatives. N = samples, o = observables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qfedfm.core.errors import RunError
from qfedfm.quantum.ibm.counts import Distribution
from qfedfm.quantum.ibm.folding import extrapolation_weights
from qfedfm.quantum.ibm.options import JobOptions
from qfedfm.quantum.ibm.program import Part
from qfedfm.quantum.pauli_strings import Strings

Floats = npt.NDArray[np.float64]
_STEP = 1e-5


@dataclass(frozen=True)
class Values:
    """Expectation values, shape (N, o), and their standard errors (0 for exact probabilities)."""

    values: Floats
    standard_errors: Floats


@dataclass(frozen=True)
class Readout:
    """Each qubit's readout errors ``(e0, e1)`` and how many shots each was measured with."""

    errors: dict[int, tuple[float, float]]
    shots: int | None


def methods_of(options: JobOptions) -> tuple[str, ...]:
    """Returns the names of what is estimated from one job: ``raw``, ``readout``, ``zne``, ``readout+zne``."""
    names = ["raw"]
    if options.readout_mitigation:
        names.append("readout")
    if options.zne is not None:
        names.append("zne")
    if options.readout_mitigation and options.zne is not None:
        names.append("readout+zne")
    return tuple(names)


def estimate_values(
    parts: Sequence[Part],
    found: Sequence[Sequence[Distribution]],
    strings: Strings,
    options: JobOptions,
    samples: int,
) -> dict[str, Values]:
    """Returns the values by method.

    Args:
        parts: The program's PUBs.
        found: For each of them, what was measured: one distribution a sample, or one for all.
        strings: The Pauli strings and how observables are made of them.
        options: Which methods.
        samples: N.
    """
    readout = readout_errors(parts, found) if options.readout_mitigation else None
    result = {}
    for method in methods_of(options):
        if options.zne is not None and "zne" in method:
            factors = extrapolation_weights(options.zne.scales, options.zne.fit)
            scales = dict(zip(options.zne.scales, factors.tolist(), strict=True))
        else:
            scales = {1: 1.0}
        used = readout if "readout" in method else None
        result[method] = _estimate(parts, found, strings.matrix.numpy(), strings, scales, used, samples)
    return result


def readout_errors(parts: Sequence[Part], found: Sequence[Sequence[Distribution]]) -> Readout:
    """Returns the readout errors that a job measured.

    Raises:
        RunError: A qubit reads 0 and 1 alike, so that its matrix has no inverse.
    """
    ones: dict[str, dict[int, float]] = {}
    shots: int | None = None
    for part, (distribution, *_) in zip(parts, found, strict=True):
        if part.kind != "setting":
            shots = distribution.shots
            means = distribution.share @ distribution.bits
            ones[part.kind] = dict(zip(part.measured, means.tolist(), strict=True))
    errors = {qubit: (ones["zeros"][qubit], 1.0 - ones["ones"][qubit]) for qubit in ones["zeros"]}
    for qubit, (e0, e1) in errors.items():
        if 1.0 - e0 - e1 < 0.05:
            raise RunError(
                f"the readout of qubit {qubit} tells nothing (0 reads 1 in {e0:.0%}, 1 reads 0 in {e1:.0%}): "
                "no mitigation is possible; use the raw values or other qubits"
            )
    return Readout(errors, shots)


def _factors(readout: Readout | None, qubit: int) -> Floats:
    if readout is None:
        return np.array([1.0, -1.0])
    e0, e1 = readout.errors[qubit]
    return np.array([1.0 + e0 - e1, -(1.0 - e0 + e1)]) / (1.0 - e0 - e1)


def _moments(
    parts: Sequence[Part],
    found: Sequence[Sequence[Distribution]],
    matrix: Floats,
    strings: Strings,
    scales: dict[int, float],
    readout: Readout | None,
    samples: int,
) -> tuple[Floats, Floats]:
    """Returns values (N, o) and variances (N, o) of the shots."""
    values = np.zeros((samples, matrix.shape[1]))
    variances = np.zeros_like(values)
    for part, distributions in zip(parts, found, strict=True):
        if part.kind != "setting" or part.scale not in scales:
            continue
        place = {qubit: bit for bit, qubit in enumerate(part.measured)}
        factors = {qubit: _factors(readout, qubit) for qubit in part.measured}
        for sample in range(samples):
            one = distributions[sample if len(distributions) > 1 else 0]
            by_string = np.ones((len(one.share), len(part.members)))
            for column, member in enumerate(part.members):
                for qubit, _ in strings.strings[member]:
                    by_string[:, column] *= factors[qubit][one.bits[:, place[qubit]]]
            by_observable = by_string @ matrix[list(part.members)]
            mean = one.share @ by_observable
            values[sample] += scales[part.scale] * mean
            if one.shots is not None:
                spread = one.share @ (by_observable - mean) ** 2 / max(1, one.shots - 1)
                variances[sample] += scales[part.scale] ** 2 * spread
    return values, variances


def _estimate(
    parts: Sequence[Part],
    found: Sequence[Sequence[Distribution]],
    matrix: Floats,
    strings: Strings,
    scales: dict[int, float],
    readout: Readout | None,
    samples: int,
) -> Values:
    values, variances = _moments(parts, found, matrix, strings, scales, readout, samples)
    if readout is not None and readout.shots is not None:
        for qubit, pair in readout.errors.items():
            for which in (0, 1):
                moved = list(pair)
                moved[which] += _STEP
                other = Readout({**readout.errors, qubit: (moved[0], moved[1])}, readout.shots)
                shifted = _moments(parts, found, matrix, strings, scales, other, samples)[0]
                slope = (shifted - values) / _STEP
                # One count more than was seen, so that an error rate measured as 0 is not taken for certain.
                rate = (pair[which] * readout.shots + 1.0) / (readout.shots + 2.0)
                variances += slope**2 * rate * (1.0 - rate) / readout.shots
    return Values(values, np.sqrt(variances))


def string_values(
    parts: Sequence[Part], found: Sequence[Sequence[Distribution]], strings: Strings, samples: int
) -> Floats:
    """Returns the raw values of the Pauli strings themselves, shape (N, strings)."""
    every = np.eye(len(strings.strings))
    return _moments(parts, found, every, strings, {1: 1.0}, None, samples)[0]

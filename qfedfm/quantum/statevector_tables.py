"""A program as the flat arrays that the compiled executor reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from qfedfm.circuits import Angle, Circuit
from qfedfm.quantum import kernel_tables as kernel
from qfedfm.quantum.lowering import Element, Monomial, PauliRotation, Singles, diagonal, lower, masks

_AXIS = {"X": 0, "Y": 1, "Z": 2}


class _Rows:
    """Different angles, each once."""

    def __init__(self) -> None:
        self.places: dict[Angle, int] = {}

    def add(self, angle: Angle) -> int:
        return self.places.setdefault(angle, len(self.places))


class _Builder:
    def __init__(self, circuit: Circuit, dtype: npt.DTypeLike) -> None:
        self.circuit, self.dtype = circuit, dtype
        self.rows = {True: _Rows(), False: _Rows()}
        self.sample: list[tuple[int, int]] = []
        self.weight: list[tuple[int, int]] = []
        self.run_start = [0]
        self.parts: list[tuple[int, int]] = []
        self.ops: list[tuple[int, ...]] = []
        self.permutations: list[npt.NDArray[Any]] = []
        self.signs: list[npt.NDArray[Any]] = []
        self.matrices = 0

    def run(self, elements: list[Element]) -> int:
        """Stores a run of rotations by weights."""
        self.weight += [(_AXIS[e.letter], self.rows[False].add(e.angle)) for e in elements]
        self.run_start.append(len(self.weight))
        return len(self.run_start) - 2

    def chain(self, chain: tuple[Element, ...]) -> tuple[int, int]:
        """Stores the parts of a chain in which inputs occur; returns their range."""
        first = len(self.parts)
        pending: list[Element] = []
        for element in (*chain, None):
            if element is not None and not element.per_sample:
                pending.append(element)
                continue
            if pending:
                self.parts.append((kernel.WEIGHT_RUN, self.run(pending)))
                pending = []
            if element is not None:
                self.sample.append((_AXIS[element.letter], self.rows[True].add(element.angle)))
                self.parts.append((kernel.SAMPLE_ROTATION, len(self.sample) - 1))
        return first, len(self.parts)

    def lane_gate(self, kind: int, where: int, chain: tuple[Element, ...]) -> None:
        self.ops.append((kind, where, *self.chain(chain), self.matrices, 0))
        self.matrices += 1

    def singles(self, step: Singles) -> None:
        for qubit, chain in step.chains.items():
            bit = 1 << (self.circuit.qubits - 1 - qubit)
            if any(element.per_sample for element in chain):
                self.lane_gate(kernel.LANE_GATE, bit, chain)
            else:
                self.ops.append((kernel.WEIGHT_GATE, bit, self.run(list(chain)), 0, 0, 0))

    def monomial(self, step: Monomial) -> None:
        size = 2**self.circuit.qubits
        if (step.index != np.arange(size)).any():
            self.ops.append((kernel.PERMUTE, len(self.permutations) * size, 0, 0, 0, 0))
            self.permutations.append(step.index.astype(np.uint32))
        if step.sign is not None:
            self.ops.append((kernel.SIGNS, len(self.signs) * size, 0, 0, 0, 0))
            self.signs.append(step.sign.astype(self.dtype))

    def pauli(self, step: PauliRotation) -> None:
        by_sample = bool(step.angle.inputs)
        row = self.rows[by_sample].add(step.angle)
        self.ops.append((kernel.PAULI, step.x, step.z, step.ys, int(by_sample), row))


def build(circuit: Circuit, dtype: npt.DTypeLike) -> kernel.Tables:
    """Returns the tables of a circuit for ``float32`` or ``float64``."""
    builder = _Builder(circuit, dtype)
    steps = list(lower(circuit).steps)
    preparation = kernel.AMPLITUDES if circuit.amplitudes else kernel.ZERO
    if steps and isinstance(steps[0], Singles) and not circuit.amplitudes:
        preparation = kernel.PRODUCT
        for qubit in range(circuit.qubits):
            builder.lane_gate(kernel.FIRST, qubit, steps[0].chains.get(qubit, ()))
        steps.pop(0)
    all_diagonal = all(observable.diagonal for observable in circuit.observables)
    trailing: Monomial | None = None
    if all_diagonal and steps and isinstance(steps[-1], Monomial):
        trailing = steps[-1]
        steps.pop()
    actions: dict[type, Callable[[Any], None]] = {
        Singles: builder.singles,
        Monomial: builder.monomial,
        PauliRotation: builder.pauli,
    }
    for step in steps:
        actions[type(step)](step)
    diagonals = np.zeros((0, 0))
    strings: list[tuple[int, int, int, int]] = []
    factors: list[float] = []
    if all_diagonal:
        diagonals = np.stack([diagonal(circuit.qubits, o) for o in circuit.observables], axis=1)
        if trailing is not None:  # folded: <O> after the permutation is <O'> before it
            folded = np.empty_like(diagonals)
            folded[trailing.index] = diagonals
            diagonals = folded
    else:
        for number, observable in enumerate(circuit.observables):
            for coefficient, string in observable.terms:
                strings.append((number, *masks(circuit.qubits, string)))
                factors.append(coefficient)
    sample, weight = builder.rows[True].places, builder.rows[False].places
    angles = [*sample, *weight]
    terms = [term for angle in angles for term in angle.terms]
    symbols = [
        symbol.position + (circuit.n_inputs if symbol.kind == "w" else 0)
        for term in terms
        for symbol in term.symbols
    ]

    def integers(values: Any, shape: tuple[int, ...] = (-1,)) -> npt.NDArray[np.int64]:
        return np.array(values, dtype=np.int64).reshape(shape)

    def numbers(values: Any) -> npt.NDArray[Any]:
        return np.ascontiguousarray(values, dtype=dtype).reshape(-1)

    def starts(counts: list[int]) -> npt.NDArray[np.int64]:
        return integers(np.concatenate([[0], np.cumsum(counts)]))

    joined = np.concatenate(builder.permutations) if builder.permutations else np.zeros(0, np.uint32)
    return kernel.Tables(
        qubits=circuit.qubits,
        n_inputs=circuit.n_inputs,
        n_weights=circuit.n_weights,
        n_observables=circuit.n_observables,
        sample_rows=len(sample),
        weight_rows=len(weight),
        matrices=builder.matrices,
        preparation=preparation,
        moves=len(builder.permutations),
        row_offset=numbers([angle.offset for angle in angles]),
        term_start=starts([len(angle.terms) for angle in angles]),
        term_factor=numbers([term.coefficient for term in terms]),
        symbol_start=starts([len(term.symbols) for term in terms]),
        symbols=integers(symbols),
        sample_axis=integers([axis for axis, _ in builder.sample]),
        sample_row=integers([row for _, row in builder.sample]),
        weight_axis=integers([axis for axis, _ in builder.weight]),
        weight_row=integers([row for _, row in builder.weight]),
        run_start=integers(builder.run_start),
        parts=integers(builder.parts, (-1, 2)),
        ops=integers(builder.ops, (-1, 6)),
        permutations=joined,
        signs=numbers(np.concatenate(builder.signs) if builder.signs else []),
        diagonals=numbers(diagonals),
        strings=integers(strings, (-1, 4)),
        string_factor=numbers(factors),
    )

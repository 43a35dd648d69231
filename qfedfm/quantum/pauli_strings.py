"""What outside simulators share: they return Pauli strings, and take one angle per rotation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from qfedfm.circuits import Angle, Circuit
from qfedfm.circuits.circuit import PauliString
from qfedfm.quantum.torch_angles import AngleTable


@dataclass(frozen=True)
class Strings:
    """The different Pauli strings of a circuit's observables, and how these are made of them."""

    strings: tuple[PauliString, ...]
    matrix: Tensor  # (strings, observables), float64

    def combine(self, values: Tensor, readout: float = 0.0) -> Tensor:
        """Returns observables ``(..., o)`` for exact string values ``(..., s)``.

        With readout errors, a string on k qubits shrinks by ``(1 - 2 readout)**k``.
        """
        matrix = self.matrix
        if readout:
            factors = [(1.0 - 2.0 * readout) ** len(string) for string in self.strings]
            matrix = matrix * torch.tensor(factors, dtype=torch.float64).unsqueeze(-1)
        return values @ matrix.to(values.device, values.dtype)


def settings_of(strings: Iterable[PauliString]) -> list[tuple[dict[int, str], list[int]]]:
    """Groups strings that can be read off one measurement: on every qubit the same letter or none.

    Returns:
        For each measurement the letter on every measured qubit, and the positions of its strings.
    """
    settings: list[tuple[dict[int, str], list[int]]] = []
    for number, string in enumerate(strings):
        for letters, members in settings:
            if all(letters.get(qubit, letter) == letter for qubit, letter in string):
                letters.update(string)
                members.append(number)
                break
        else:
            settings.append((dict(string), [number]))
    return settings


def strings_of(circuit: Circuit) -> Strings:
    """Collects the Pauli strings of a circuit, each once."""
    places: dict[PauliString, int] = {}
    for observable in circuit.observables:
        for _, string in observable.terms:
            places.setdefault(string, len(places))
    matrix = torch.zeros(len(places), circuit.n_observables, dtype=torch.float64)
    for column, observable in enumerate(circuit.observables):
        for coefficient, string in observable.terms:
            matrix[places[string], column] += coefficient
    return Strings(tuple(places), matrix)


class AngleColumns:
    """All angles that are not constant, evaluated for every sample of every client."""

    def __init__(self, circuit: Circuit, angles: list[Angle]) -> None:
        self.angles = angles
        self._table = AngleTable(
            angles, circuit.n_inputs, circuit.n_weights, torch.float64, torch.device("cpu")
        )
        self._circuit = circuit

    def __call__(self, inputs: Tensor, weights: Tensor) -> Tensor:
        """Returns float64 angles ``(K B, columns)`` for inputs ``(K, B, n)`` and weights ``(K, m)``."""
        x = inputs.to("cpu", torch.float64)
        w = weights.to("cpu", torch.float64)
        if not self.angles:
            return x.new_zeros(x.shape[0] * x.shape[1], 0)
        if self._circuit.n_inputs == 0:
            return self._table(None, w).unsqueeze(1).expand(-1, x.shape[1], -1).flatten(0, 1)
        return self._table(x, w).flatten(0, 1)

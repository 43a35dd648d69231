"""Which weights have an identically zero gradient: proved symbolically, never guessed by sampling.

An angle of ``exp(-i a P / 2)`` changes ``<O>`` by ``<i[P, O']> / 2``, where ``O'`` is the observable
carried back through all later gates. ``O'`` is followed as a set of possible Pauli letters on every
qubit, which can only be larger than the truth; if ``P`` commutes with all of it, the gradient is zero
everywhere. The same holds if the state before the gate is still an eigenstate of ``P``: a diagonal
``P`` on qubits that are still in a basis state.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from qfedfm.circuits.gates import Permutation, Primitive, Rotation

if TYPE_CHECKING:
    from qfedfm.circuits.circuit import Circuit, Observable

# A Pauli letter as (x bit, z bit).
_BITS = {"I": (0, 0), "X": (1, 0), "Y": (1, 1), "Z": (0, 1)}
_LETTERS = {bits: letter for letter, bits in _BITS.items()}
_DIAGONAL = frozenset("IZ")
_ANY = frozenset("IXYZ")
_Letters = dict[int, frozenset[str]]


def zero_gradient_weights(circuit: Circuit) -> tuple[int, ...]:
    """Returns the positions of all weights whose gradient is zero for every observable."""
    primitives = list(circuit.primitives())
    in_eigenstate = _acts_on_eigenstate(primitives, circuit)
    alive: set[int] = set()
    for observable in set(circuit.observables):
        alive |= _alive(primitives, in_eigenstate, observable)
    return tuple(index for index in range(circuit.n_weights) if index not in alive)


def _alive(primitives: list[Primitive], in_eigenstate: list[bool], observable: Observable) -> set[int]:
    alive: set[int] = set()
    for _, string in observable.terms:
        letters: _Letters = {qubit: frozenset(letter) for qubit, letter in string}
        for primitive, silent in zip(reversed(primitives), reversed(in_eigenstate), strict=True):
            if isinstance(primitive, Permutation):
                _carry_through_permutation(primitive, letters)
            elif _carry_through_rotation(primitive, letters) and not silent:
                alive |= primitive.angle.weights
    return alive


def _carry_through_rotation(rotation: Rotation, letters: _Letters) -> bool:
    """Widens ``letters`` by the rotation; returns whether the observable may feel it."""
    felt = False
    reached: list[set[str]] = [set() for _ in rotation.qubits]
    for combination in product(*(letters.get(qubit, frozenset("I")) for qubit in rotation.qubits)):
        anticommuting = sum(a not in ("I", b) for a, b in zip(combination, rotation.letters, strict=True))
        for k, letter in enumerate(combination):
            reached[k].add(letter)
            if anticommuting % 2:
                felt = True
                reached[k].add(_times(letter, rotation.letters[k]))
    _store(letters, rotation.qubits, reached)
    return felt


def _carry_through_permutation(gate: Permutation, letters: _Letters) -> None:
    reached: list[set[str]] = [set() for _ in gate.qubits]
    for combination in product(*(letters.get(qubit, frozenset("I")) for qubit in gate.qubits)):
        for k, options in enumerate(_conjugate(gate.name, combination)):
            reached[k] |= options
    _store(letters, gate.qubits, reached)


def _conjugate(name: str, combination: tuple[str, ...]) -> list[frozenset[str]]:
    bits = [_BITS[letter] for letter in combination]
    if name == "swap":
        bits = bits[::-1]
    elif name == "cx":
        (xc, zc), (xt, zt) = bits
        bits = [(xc, zc ^ zt), (xt ^ xc, zt)]
    elif name == "cz":
        (xa, za), (xb, zb) = bits
        bits = [(xa, za ^ xb), (xb, zb ^ xa)]
    elif all(letter == "I" for letter in combination):
        pass
    else:  # ccx and cswap: not Clifford; they map diagonal operators to diagonal ones
        diagonal = all(letter in _DIAGONAL for letter in combination)
        return [_DIAGONAL if diagonal else _ANY] * len(combination)
    return [frozenset(_LETTERS[pair]) for pair in bits]


def _acts_on_eigenstate(primitives: list[Primitive], circuit: Circuit) -> list[bool]:
    """For each primitive: is it diagonal, on qubits that are all still in a basis state?"""
    basis = set() if circuit.amplitudes else set(range(circuit.qubits))
    result = []
    for primitive in primitives:
        diagonal = isinstance(primitive, Rotation) and set(primitive.letters) == {"Z"}
        still = basis.issuperset(primitive.qubits)
        result.append(diagonal and still)
        if not diagonal and not (isinstance(primitive, Permutation) and (still or primitive.name == "cz")):
            basis.difference_update(primitive.qubits)
    return result


def _times(a: str, b: str) -> str:
    (xa, za), (xb, zb) = _BITS[a], _BITS[b]
    return _LETTERS[xa ^ xb, za ^ zb]


def _store(letters: _Letters, qubits: tuple[int, ...], reached: list[set[str]]) -> None:
    for qubit, options in zip(qubits, reached, strict=True):
        letters[qubit] = frozenset(options)

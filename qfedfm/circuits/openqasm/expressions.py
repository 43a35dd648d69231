"""Expressions of OpenQASM 3: angles that are polynomials in the parameters, and sums of Pauli strings."""

from __future__ import annotations

import math
from collections.abc import Mapping

from qfedfm.circuits.angle import Angle, constant
from qfedfm.circuits.circuit import Observable, PauliString
from qfedfm.circuits.openqasm.tokens import QasmError, Token, tokens

CONSTANTS = {
    "pi": math.pi, "π": math.pi, "tau": math.tau, "τ": math.tau, "euler": math.e, "ℇ": math.e,
}  # fmt: skip
#: Limits that no circuit comes near and that keep a broken file from filling stack or memory.
_DEEPEST, _MOST_TERMS = 60, 20_000
_FUNCTIONS = frozenset("arccos arcsin arctan ceiling cos exp floor log mod popcount pow sin sqrt tan".split())


class Words:
    """The words of a program, read one after another.

    Args:
        found: The words, the last of kind ``end``.
        source: The file's name, for errors.
    """

    def __init__(self, found: list[Token], source: str) -> None:
        self._found, self._place, self.source = found, 0, source
        self.depth = 0  # of parentheses, signs and powers that are open

    @property
    def next(self) -> Token:
        """The next word, not taken yet."""
        return self._found[self._place]

    def take(self) -> Token:
        """Returns the next word and goes on."""
        token = self.next
        if token.kind != "end":
            self._place += 1
        return token

    def skip(self, text: str) -> bool:
        """Takes the next word if it is ``text``; returns whether it was."""
        if self.next.text == text and self.next.kind != "string":
            self.take()
            return True
        return False

    def expect(self, text: str, why: str = "") -> Token:
        """Takes the next word, which must be ``text``."""
        if not (self.next.text == text and self.next.kind != "string"):
            raise self.next.error(self.source, f"expected {text!r}{why}, found {self.next}")
        return self.take()

    def name(self, what: str) -> Token:
        """Takes the next word, which must be a name."""
        if self.next.kind != "name":
            raise self.next.error(self.source, f"expected {what}, found {self.next}")
        return self.take()

    def whole(self, what: str) -> int:
        """Takes the next word, which must be a whole number."""
        token = self.next
        if token.kind != "number" or not token.text.replace("_", "").isdigit():
            raise token.error(self.source, f"expected {what} (a whole number), found {token}")
        return int(self.take().text.replace("_", ""))

    def error(self, sentence: str) -> QasmError:
        """Returns an error that points at the next word."""
        return self.next.error(self.source, sentence)


def read_angle(words: Words, parameters: Mapping[str, Angle]) -> Angle:
    """Reads a sum of products of numbers, constants and parameters."""
    total = _product(words, parameters)
    while words.next.text in ("+", "-"):
        sign = words.take().text
        term = _product(words, parameters)
        total = total + term if sign == "+" else total - term
    return total


def _product(words: Words, parameters: Mapping[str, Angle]) -> Angle:
    total = _signed(words, parameters)
    while words.next.text in ("*", "/"):
        operator = words.take()
        place = words.next
        factor = _signed(words, parameters)
        if operator.text == "*":
            total = _times(words, place, total, factor)
            continue
        if factor.terms:
            raise place.error(
                words.source, "division by a parameter is not supported: angles are polynomials"
            )
        if factor.offset == 0.0:
            raise place.error(words.source, "this divides by zero")
        # Numbers are divided; a coefficient is multiplied by the inverse, as angles are.
        total = total / factor.offset if total.terms else constant(total.offset / factor.offset)
    return total


def _signed(words: Words, parameters: Mapping[str, Angle]) -> Angle:
    # Parentheses, signs and powers all come back to here.
    words.depth += 1
    if words.depth > _DEEPEST:
        raise words.error(f"more than {_DEEPEST} parentheses, signs or powers are open here")
    if words.next.text in ("+", "-"):
        sign = words.take().text
        found = _signed(words, parameters)
        found = -found if sign == "-" else found
    else:
        found = _power(words, parameters)
    words.depth -= 1
    return found


def _power(words: Words, parameters: Mapping[str, Angle]) -> Angle:
    base = _atom(words, parameters)
    if not words.skip("**"):
        return base
    place = words.next
    exponent = _signed(words, parameters)
    if exponent.terms or exponent.offset not in range(9):
        raise place.error(words.source, "only whole powers from 0 to 8 are supported in angles")
    total = constant(1.0)
    for _ in range(int(exponent.offset)):
        total = _times(words, place, total, base)
    return total


def _times(words: Words, place: Token, one: Angle, other: Angle) -> Angle:
    if (len(one.terms) + 1) * (len(other.terms) + 1) > _MOST_TERMS:
        raise place.error(words.source, f"this angle has more than {_MOST_TERMS} terms")
    return one * other


def _atom(words: Words, parameters: Mapping[str, Angle]) -> Angle:
    token = words.take()
    if token.text == "(" and token.kind == "sign":
        inside = read_angle(words, parameters)
        words.expect(")")
        return inside
    if token.kind == "number":
        if token.text == "0" and words.next.kind == "name" and words.next.text[:1] in "xXbBoO":
            raise token.error(words.source, "numbers in other bases than ten are not supported in angles")
        value = float(token.text.replace("_", ""))
        if not math.isfinite(value):
            raise token.error(words.source, f"the number {token.text} is too large")
        return constant(value)
    if token.kind == "name":
        if token.text in parameters:
            return parameters[token.text]
        if token.text in CONSTANTS:
            return constant(CONSTANTS[token.text])
        if token.text in _FUNCTIONS:
            raise token.error(words.source, f"the function {token.text} is not supported in angles")
        raise token.error(
            words.source, f"{token.text!r} is not declared: declare it with input float[64] {token.text};"
        )
    raise token.error(words.source, f"expected an angle, found {token}")


def read_observable(text: str, source: str, line: int, column: int) -> Observable:
    """Reads an observable as :func:`qfedfm.circuits.openqasm.writer.observable_text` writes it.

    Args:
        text: The text, for example ``0.5*X[0]*Y[1] - Z[2]``.
        source: The file's name, for errors.
        line: Where the text stands.
        column: Where the text starts.
    """
    # Words are counted from the start of the line, as the text stands in it.
    moved = [t._replace(line=line, column=t.column + column - 1) for t in tokens(text, source)]
    words = Words(moved, source)
    terms: list[tuple[float, PauliString]] = []
    sign = -1.0 if words.skip("-") else 1.0
    while True:
        terms.append(_string(words, sign))
        if words.next.kind == "end":
            break
        if words.next.text not in ("+", "-"):
            raise words.error(f"expected + or - between Pauli strings, found {words.next}")
        sign = -1.0 if words.take().text == "-" else 1.0
    return Observable(tuple(terms))


def _string(words: Words, sign: float) -> tuple[float, PauliString]:
    coefficient = sign
    string: dict[int, str] = {}
    while True:
        token = words.next
        if token.kind == "number":
            coefficient *= float(words.take().text.replace("_", ""))
        elif token.kind == "name" and token.text in ("X", "Y", "Z"):
            words.take()
            words.expect("[", " and a qubit")
            place = words.next
            qubit = words.whole("a qubit")
            words.expect("]")
            if qubit in string:
                raise place.error(words.source, f"qubit {qubit} stands twice in one Pauli string")
            string[qubit] = token.text
        else:
            raise token.error(
                words.source, f"expected a number or X, Y, Z with a qubit, for example Z[0], found {token}"
            )
        if not words.skip("*"):
            return coefficient, tuple(sorted(string.items()))

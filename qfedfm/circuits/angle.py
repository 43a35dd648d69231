"""The angle of a gate: a polynomial in the circuit's inputs and weights, in radians."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, NamedTuple


class Symbol(NamedTuple):
    """One input (``"x"``) or weight (``"w"``) of a circuit, by its position."""

    kind: Literal["x", "w"]
    position: int


class Term(NamedTuple):
    """A coefficient times a product of symbols."""

    coefficient: float
    symbols: tuple[Symbol, ...]


@dataclass(frozen=True, slots=True)
class Angle:
    """``offset + sum of terms``; sums and products of angles and numbers are angles again.

    Attributes:
        offset: The constant part, radians.
        terms: The terms with at least one symbol, sorted, one for each product of symbols.
    """

    offset: float = 0.0
    terms: tuple[Term, ...] = ()

    @property
    def symbols(self) -> frozenset[Symbol]:
        """All inputs and weights that occur."""
        return frozenset(symbol for term in self.terms for symbol in term.symbols)

    @property
    def weights(self) -> frozenset[int]:
        """Positions of the weights that occur."""
        return frozenset(symbol.position for symbol in self.symbols if symbol.kind == "w")

    @property
    def inputs(self) -> frozenset[int]:
        """Positions of the inputs that occur."""
        return frozenset(symbol.position for symbol in self.symbols if symbol.kind == "x")

    def value(self, inputs: Sequence[float], weights: Sequence[float]) -> float:
        """Returns the angle at a point."""
        total = self.offset
        for coefficient, symbols in self.terms:
            for kind, index in symbols:
                coefficient *= inputs[index] if kind == "x" else weights[index]
            total += coefficient
        return total

    def __add__(self, other: Angle | float) -> Angle:
        other = _angle(other)
        return _collect(self.offset + other.offset, (*self.terms, *other.terms))

    __radd__ = __add__

    def __neg__(self) -> Angle:
        return self * -1.0

    def __sub__(self, other: Angle | float) -> Angle:
        return self + -_angle(other)

    def __rsub__(self, other: float) -> Angle:
        return _angle(other) - self

    def __mul__(self, other: Angle | float) -> Angle:
        left = (Term(self.offset, ()), *self.terms)
        right = _angle(other)
        products = [
            Term(a.coefficient * b.coefficient, tuple(sorted((*a.symbols, *b.symbols))))
            for a in left
            for b in (Term(right.offset, ()), *right.terms)
        ]
        offset = sum(term.coefficient for term in products if not term.symbols)
        return _collect(offset, tuple(term for term in products if term.symbols))

    __rmul__ = __mul__

    def __truediv__(self, other: float) -> Angle:
        return self * (1.0 / other)

    def label(self) -> str:
        """Returns a short label such as ``x0``, ``-w3/2``, ``π/2`` or ``0.3``."""
        parts: list[str] = []
        for coefficient, symbols in self.terms:
            name = _scaled(abs(coefficient), "·".join(f"{kind}{index}" for kind, index in symbols))
            parts.append(("-" if coefficient < 0 else "+" if parts else "") + name)
        if self.offset or not parts:
            sign = "-" if self.offset < 0 else "+" if parts else ""
            parts.append(sign + _scaled(abs(self.offset), ""))
        return "".join(parts)


def constant(value: float) -> Angle:
    """Returns a fixed angle, radians."""
    return Angle(float(value))


def input_angle(index: int, scale: float = 1.0) -> Angle:
    """Returns ``scale`` times input number ``index``."""
    return Angle(0.0, (Term(float(scale), (Symbol("x", index),)),))


def weight_angle(index: int, scale: float = 1.0) -> Angle:
    """Returns ``scale`` times weight number ``index``."""
    return Angle(0.0, (Term(float(scale), (Symbol("w", index),)),))


def _scaled(size: float, name: str) -> str:
    """Returns a label of ``size`` times ``name``: with a fraction, a multiple of pi or three digits."""
    for factor, symbol in ((1.0, ""), (math.pi, "π")):
        ratio = Fraction(size / factor).limit_denominator(64)
        if ratio and abs(float(ratio) * factor / size - 1.0) < 1e-14 and (symbol or name):
            top = "" if ratio.numerator == 1 and (symbol or name) else str(ratio.numerator)
            bottom = "" if ratio.denominator == 1 else f"/{ratio.denominator}"
            return f"{top}{symbol}{name}{bottom}"
    return f"{size:.3g}{name}"


def _angle(value: Angle | float) -> Angle:
    return value if isinstance(value, Angle) else Angle(float(value))


def _collect(offset: float, terms: tuple[Term, ...]) -> Angle:
    sums: dict[tuple[Symbol, ...], float] = {}
    for coefficient, symbols in terms:
        sums[symbols] = sums.get(symbols, 0.0) + coefficient
    kept = tuple(Term(value, symbols) for symbols, value in sorted(sums.items()) if value != 0.0)
    return Angle(offset, kept)

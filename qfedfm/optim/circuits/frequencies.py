"""How an expectation value depends on one weight: a trigonometric polynomial of known degree.

Vidal and Theis, 2018, arXiv:1812.06323; Wierichs et al., 2022, arXiv:2107.12390.
"""

from __future__ import annotations

import math
from fractions import Fraction

from qfedfm.circuits import Circuit
from qfedfm.circuits.angle import Symbol
from qfedfm.core.errors import RequestError
from qfedfm.optim.circuits.shifts import CONTROLLED

_LARGEST_DENOMINATOR = 64


def frequencies(circuit: Circuit, weight: int) -> tuple[int, float]:
    """Returns degree R and unit ω: every expectation value is ``Σ_{k=-R..R} c_k exp(i k ω w)`` of the weight.

    Raises:
        RequestError: If the weight is multiplied by an input or a weight, so that samples differ in ω, or by
            a number that is no simple fraction.
    """
    symbol = Symbol("w", weight)
    steps: list[Fraction] = []
    largest = Fraction(0)
    for gate in circuit.gates:
        for angle in gate.angles:
            for coefficient, symbols in angle.terms:
                if symbol not in symbols:
                    continue
                size = Fraction(abs(coefficient)).limit_denominator(_LARGEST_DENOMINATOR)
                if len(symbols) > 1 or abs(float(size) - abs(coefficient)) > 1e-12:
                    raise RequestError(
                        f"client.optimizer rotosolve needs weights that turn by themselves, but in circuit "
                        f"{circuit.name} weight {weight} is multiplied by an input, another weight or an odd "
                        "number; use spsa or qng"
                    )
                steps.append(size / 2 if gate.name in CONTROLLED else size)
                largest += size
    if not steps:
        return 0, 1.0
    denominator = math.lcm(*(step.denominator for step in steps))
    unit = Fraction(math.gcd(*(int(step * denominator) for step in steps)), denominator)
    return int(largest / unit), float(unit)

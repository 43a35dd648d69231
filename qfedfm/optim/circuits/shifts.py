"""Parameter-shift rules of every gate angle that holds a weight. Wierichs et al., 2022, arXiv:2107.12390.

A gate angle enters through a Pauli rotation (two shifts), or through a controlled one, whose generator has
the eigenvalues 0 and ±½ (four shifts, with the coefficients (√2 ± 1) / (4√2)). Shapes: a = gate angles that
hold a weight, P = shifted circuits, m = weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

from torch import Tensor

from qfedfm.circuits import Angle, Circuit, Register, weight_angle

_TWO = ((math.pi / 2, 0.5), (-math.pi / 2, -0.5))
_NEAR, _FAR = (math.sqrt(2) + 1) / (4 * math.sqrt(2)), (math.sqrt(2) - 1) / (4 * math.sqrt(2))
_FOUR = (
    (math.pi / 2, _NEAR),
    (-math.pi / 2, -_NEAR),
    (3 * math.pi / 2, -_FAR),
    (-3 * math.pi / 2, _FAR),
)
CONTROLLED = frozenset({"crx", "cry", "crz"})
"""Gates whose angle turns one half of the space only, by ±½."""


@dataclass(frozen=True)
class Shifts:
    """How the derivative by every gate angle is measured.

    Args:
        circuit: The circuit with one more weight for every gate angle that holds one: its shift.
        angles: These gate angles.
        points: The shifts of every circuit to run, (P, a).
        combine: The coefficients of their results, (a, P).
    """

    circuit: Circuit
    angles: tuple[Angle, ...]
    points: tuple[tuple[float, ...], ...]
    combine: tuple[tuple[float, ...], ...]

    def jacobian(self, inputs: Tensor, weights: Tensor) -> Tensor:
        """Returns the derivatives of the gate angles by the weights, (K, a, B, m).

        Args:
            inputs: (K, B, q).
            weights: (K, m).
        """
        found = inputs.new_zeros(len(inputs), len(self.angles), inputs.shape[1], weights.shape[-1])
        for row, angle in enumerate(self.angles):
            for coefficient, symbols in angle.terms:
                for place, symbol in enumerate(symbols):
                    if symbol.kind != "w":
                        continue
                    value = inputs.new_full(inputs.shape[:2], coefficient)
                    for other in symbols[:place] + symbols[place + 1 :]:
                        source = inputs if other.kind == "x" else weights.unsqueeze(1)
                        value = value * source[..., other.position]
                    found[:, row, :, symbol.position] += value
        return found


@lru_cache(maxsize=64)
def shifts_of(circuit: Circuit) -> Shifts:
    """Returns the parameter-shift rules of a circuit's gate angles that hold weights."""
    angles: list[Angle] = []
    rules: list[tuple[tuple[float, float], ...]] = []
    gates = []
    for gate in circuit.gates:
        own = list(gate.angles)
        for place, angle in enumerate(own):
            if angle.weights:
                own[place] = angle + weight_angle(circuit.n_weights + len(angles))
                angles.append(angle)
                rules.append(_FOUR if gate.name in CONTROLLED else _TWO)
        gates.append(replace(gate, angles=tuple(own)))
    register = Register("shifts", circuit.n_weights, (len(angles),))
    shifted = replace(circuit, gates=tuple(gates), weights=(*circuit.weights, register))
    total = sum(len(rule) for rule in rules)
    points = [[0.0] * len(angles) for _ in range(total)]
    combine = [[0.0] * total for _ in angles]
    row = 0
    for place, rule in enumerate(rules):
        for shift, coefficient in rule:
            points[row][place], combine[place][row] = shift, coefficient
            row += 1
    return Shifts(shifted, tuple(angles), tuple(map(tuple, points)), tuple(map(tuple, combine)))

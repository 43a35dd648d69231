"""Circuits described once: gates, parameters, observables and families of any size.

Conventions, held by every executor, reader and writer of the package:

* **Qubit order.** Qubit 0 is the first wire and the *most significant* bit of a basis state's index:
  ``|q0 q1 ... q(n-1)>`` has index ``sum_i q_i * 2**(n-1-i)``. This is PennyLane's order; Qiskit's
  statevectors are in the opposite (little-endian) order, and the Qiskit executors translate.
* **Rotations.** ``RP(a) = exp(-i a P / 2)`` for a Pauli string ``P``;
  ``Rot(a, b, c) = RZ(c) RY(b) RZ(a)`` (``RZ(a)`` acts first). Angles are radians.
* **Controls** come first: ``cx`` on qubits ``(c, t)`` flips ``t`` where ``c`` is 1.
* **Phase.** Two circuits that differ by a global phase are the same circuit.
* **Bit strings** are written with qubit 0 on the left.

Nothing here imports torch, PennyLane or Qiskit.
"""

from __future__ import annotations

from qfedfm.circuits.angle import Angle, Symbol, Term, constant, input_angle, weight_angle
from qfedfm.circuits.circuit import Circuit, Gate, Observable, Register, pauli
from qfedfm.circuits.families import families, family, family_description, family_options
from qfedfm.circuits.gates import GATES, Permutation, Rotation

__all__ = [
    "GATES",
    "Angle",
    "Circuit",
    "Gate",
    "Observable",
    "Permutation",
    "Register",
    "Rotation",
    "Symbol",
    "Term",
    "constant",
    "families",
    "family",
    "family_description",
    "family_options",
    "input_angle",
    "pauli",
    "weight_angle",
]

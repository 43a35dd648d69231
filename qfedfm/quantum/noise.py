"""Noise models of our own, the same numbers on every executor that has noise.

* ``depolarizing: p`` is the *total* probability of a Pauli error after a gate on one qubit: X, Y and Z with
  p/3 each. Aer's own parameter mixes in the identity, so it is given 4p/3.
* ``depolarizing_two: p`` is the total probability of one of the 15 Pauli errors after a gate on two qubits,
  p/15 each. Aer is given 16p/15.
* ``amplitude_damping: g`` lets every qubit of a gate decay to 0 with probability g after it.
* ``readout: p`` flips every measured bit with probability p.

A gate is one of :data:`qfedfm.circuits.GATES` as it stands in the circuit, whatever an executor makes of it.
"""

from __future__ import annotations

from pydantic import Field

from qfedfm.circuits import Circuit
from qfedfm.core.config import Config
from qfedfm.core.errors import RequestError


class Noise(Config):
    """Probabilities of errors; all zero means none."""

    depolarizing: float = Field(default=0.0, ge=0.0, le=0.75)
    depolarizing_two: float = Field(default=0.0, ge=0.0, le=0.9375)
    amplitude_damping: float = Field(default=0.0, ge=0.0, le=1.0)
    readout: float = Field(default=0.0, ge=0.0, le=0.5)

    @property
    def on_gates(self) -> bool:
        """Whether gates have errors (which needs density matrices), not only readout."""
        return bool(self.depolarizing or self.depolarizing_two or self.amplitude_damping)

    def check(self, circuit: Circuit) -> None:
        """Raises a sentence if the circuit has gates for which no noise is defined."""
        for gate in circuit.gates:
            if self.on_gates and len(gate.qubits) > 2:
                raise RequestError(
                    f"noise is defined for gates on one or two qubits; circuit {circuit.name} has {gate.name}"
                )

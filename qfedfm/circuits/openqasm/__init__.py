"""OpenQASM 3, out and in: one file per circuit, read by Qiskit and PennyLane alike.

Cross et al., 2022, arXiv:2104.14722. The writer uses only what both readers understand: scalar
``input float[64] x_i`` and ``w_j``, gates that both know, no custom gates, no measurements. What the
language has no words for stands in annotations, which other readers skip:

* ``@qfedfm.input NAME SHAPE`` and ``@qfedfm.weight NAME SHAPE`` before the first declaration of a register;
* ``@qfedfm.observable 0.5*X[0]*Y[1] - 1.0*Z[2]`` before the qubits, once for each observable (numbers in
  brackets are qubits, counted over all registers in the order of their declarations);
* ``@qfedfm.fixed WHAT`` where parameters were written into the file as numbers.
"""

from __future__ import annotations

from qfedfm.circuits.openqasm.amplitudes import prepare_amplitudes, with_fixed_amplitudes
from qfedfm.circuits.openqasm.measured import measured_qasm
from qfedfm.circuits.openqasm.reader import QasmFile, read_qasm, read_qasm_file
from qfedfm.circuits.openqasm.standard import standard_gates
from qfedfm.circuits.openqasm.tokens import QasmError
from qfedfm.circuits.openqasm.writer import to_qasm

__all__ = [
    "QasmError",
    "QasmFile",
    "measured_qasm",
    "prepare_amplitudes",
    "read_qasm",
    "read_qasm_file",
    "standard_gates",
    "to_qasm",
    "with_fixed_amplitudes",
]

"""Zero-noise extrapolation: folded gates and the fit. Giurgica-Tiron et al., 2020, arXiv:2005.10921.

A gate G stands for G (G^-1 G)^k: the same unitary with 2k + 1 times its errors. The circuit is already
transpiled, so nothing cancels what is folded.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from qfedfm.core.errors import RequestError
from qfedfm.quantum.ibm.options import Fit

#: Gates of backends that are their own inverse; others carry angles, whose inverse is the opposite angle.
_SELF_INVERSE = {"cx", "cz", "ecr", "swap"}


def fold(circuit: Any, scale: int) -> Any:
    """Returns a transpiled circuit in which each two-qubit gate stands ``scale`` times, every other inverted.

    Args:
        circuit: A transpiled ``QuantumCircuit``.
        scale: 1, 3, 5, ...
    """
    if scale == 1:
        return circuit
    folded = circuit.copy_empty_like()
    for instruction in circuit.data:
        gate, qubits = instruction.operation, instruction.qubits
        folded.append(instruction)
        if gate.num_qubits != 2 or gate.name in ("barrier", "measure"):
            continue
        if gate.name not in _SELF_INVERSE and gate.name not in ("rzz", "rzx", "rxx", "ryy"):
            raise RequestError(f"zne cannot fold the gate {gate.name} of this backend; leave zne out")
        for copy in range(scale - 1):
            # Barriers keep the control electronics' compiler from cancelling pairs.
            folded.barrier(*qubits)
            folded.append(
                gate.inverse() if copy % 2 == 0 and gate.name not in _SELF_INVERSE else gate, qubits
            )
    return folded


def extrapolation_weights(scales: tuple[int, ...], fit: Fit) -> npt.NDArray[np.float64]:
    """Returns a with ``value at zero noise = sum a_i value_i``, shape ``(scales,)``.

    The fit is a polynomial in the scale, by least squares: of degree 1 (``linear``), or through all points
    (``richardson``); its value at 0 is linear in the values.
    """
    degree = 1 if fit == "linear" else len(scales) - 1
    powers = np.vander(np.array(scales, dtype=float), degree + 1, increasing=True)
    return np.asarray(np.linalg.pinv(powers)[0])

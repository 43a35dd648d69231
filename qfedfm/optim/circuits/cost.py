"""How many circuits a step takes where every value is measured: the common price of unlike optimizers.

Counted per client and sample of a batch; a circuit that is run with many shots counts once. Gradients are
those of the parameter-shift rule: one unshifted circuit, two (or four) for each gate angle that holds a
weight, and for the classical part before the circuit two for each that holds an input.
"""

from __future__ import annotations

from qfedfm.circuits import Circuit
from qfedfm.optim.circuits.frequencies import frequencies
from qfedfm.optim.circuits.options import (
    CircuitOptimizerConfig,
    QngConfig,
    QnSpsaConfig,
    RotosolveConfig,
    SpsaConfig,
)
from qfedfm.optim.circuits.shifts import CONTROLLED, shifts_of
from qfedfm.optim.client import OptimizerConfig
from qfedfm.quantum import metric_blocks, trained_weights


def circuits_a_step(config: OptimizerConfig, circuit: Circuit, *, classical_part: bool = True) -> int:
    """Returns the number of circuits for one step, per client and sample.

    Args:
        config: The optimizer.
        circuit: The head's circuit.
        classical_part: Whether a classical part before the circuit is trained by its gradient too.

    Raises:
        RequestError: Rotosolve on a weight without fixed frequencies.
    """
    trained = trained_weights(circuit)
    before = _input_shifts(circuit) if classical_part else 0
    gradient = len(shifts_of(circuit).points)
    if not isinstance(config, CircuitOptimizerConfig):
        return 1 + gradient + before
    if isinstance(config, QngConfig):
        w = len(trained)
        # Blocks and diagonal: covariances measured on one circuit a block; full: one Hadamard test a pair.
        metric = w * (w + 1) // 2 if config.metric == "full" else len(metric_blocks(circuit))
        return 1 + gradient + before + metric
    if isinstance(config, SpsaConfig):
        return 1 + before + 2 * config.directions
    if isinstance(config, QnSpsaConfig):
        return 1 + before + 6 * config.directions
    if isinstance(config, RotosolveConfig):
        return 1 + before + sum(2 * frequencies(circuit, weight)[0] + 1 for weight in trained)
    return 1 + gradient + before


def _input_shifts(circuit: Circuit) -> int:
    return sum(
        4 if gate.name in CONTROLLED else 2 for gate in circuit.gates for angle in gate.angles if angle.inputs
    )

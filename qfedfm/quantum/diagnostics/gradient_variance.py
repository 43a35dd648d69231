"""Barren plateaus: how gradients shrink with qubits and layers. McClean et al., 2018, arXiv:1803.11173.

The variance of ``d<O>/dw`` over random weights. If the circuit before and after a Pauli rotation are both
random enough (2-designs), it is ``D**2 / (2 (D**2 - 1) (D + 1))`` for any Pauli string O and ``D = 2**n``:
it halves with every qubit. For shallow circuits it depends on O (Cerezo et al., 2021, arXiv:2001.00550).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from qfedfm.circuits import Circuit, family, pauli
from qfedfm.core.errors import RequestError
from qfedfm.quantum.diagnostics.sampling import Inputs, chunks, draw_parameters
from qfedfm.quantum.metric import trained_weights
from qfedfm.quantum.running import expectations

Cost = Literal["local", "global", "own"]


@dataclass(frozen=True)
class GradientVariance:
    """One size of a scan.

    Attributes:
        qubits: Number of qubits n.
        layers: Number of layers.
        weights: How many weights have a gradient.
        samples: How many random points.
        mean: Mean over these weights of the variance of the gradient.
        smallest: The smallest of them.
        largest: The largest.
        two_design: What a 2-design has at this size.
    """

    qubits: int
    layers: int
    weights: int
    samples: int
    mean: float
    smallest: float
    largest: float
    two_design: float


def cost_observable(circuit: Circuit, cost: Cost) -> Circuit:
    """Returns the circuit with the one observable whose gradients are looked at.

    Args:
        circuit: The circuit.
        cost: ``local`` (``Z`` of qubit 0), ``global`` (``Z`` of all qubits) or ``own`` (its first).
    """
    if cost == "own":
        return circuit.with_observables(circuit.observables[:1])
    if cost not in ("local", "global"):
        raise RequestError(f"cost must be local, global or own, got {cost!r}")
    wires = range(1 if cost == "local" else circuit.qubits)
    return circuit.with_observables([pauli("Z" * len(wires), *wires)])


def gradient_variance(
    circuit: Circuit,
    samples: int,
    generator: torch.Generator,
    *,
    inputs: Inputs = "random",
    executor: str = "statevector",
) -> Tensor:
    """Returns the variance of ``d<O>/dw`` over random weights, shape ``(n_weights,)``, float64.

    Args:
        circuit: With one observable O.
        samples: Random points; the relative error of a variance is about ``sqrt(2 / samples)``.
        generator: Source of the points.
        inputs: Inputs of these points: ``random`` or ``zero``.
        executor: What computes the gradients.
    """
    if circuit.n_observables != 1:
        raise RequestError(f"gradient_variance takes one observable, circuit {circuit.name} has several")
    if not circuit.n_weights:
        raise RequestError(f"circuit {circuit.name} has no weights, so it has no gradients to look at")
    x, w = draw_parameters(circuit, samples, generator, inputs)
    found = []
    for part in chunks(circuit, samples):
        weights = w[part].requires_grad_()
        out = expectations(circuit, x[part], weights, executor)
        (gradient,) = torch.autograd.grad(out.sum(), weights)
        found.append(gradient)
    return torch.cat(found).var(0)


def gradient_variance_scan(
    name: str,
    qubits: Iterable[int],
    layers: Iterable[int],
    *,
    samples: int = 200,
    generator: torch.Generator,
    cost: Cost = "local",
    inputs: Inputs = "random",
    executor: str = "statevector",
    **options: Any,
) -> list[GradientVariance]:
    """Returns the variances of a family's gradients over qubits and layers.

    Args:
        name: The family.
        qubits: Sizes.
        layers: Depths; every size is combined with every depth.
        samples: Random points for each.
        generator: Source of the points.
        cost: The observable; see :func:`cost_observable`.
        inputs: Inputs of the points: ``random`` or ``zero``.
        executor: What computes the gradients.
        **options: Further options of the family.
    """
    sizes = list(qubits)
    return [
        gradient_variance_of(
            family(name, qubits=size, layers=depth, **options),
            depth,
            samples,
            generator,
            cost=cost,
            inputs=inputs,
            executor=executor,
        )
        for depth in layers
        for size in sizes
    ]


def gradient_variance_of(
    circuit: Circuit,
    layers: int,
    samples: int,
    generator: torch.Generator,
    *,
    cost: Cost = "local",
    inputs: Inputs = "random",
    executor: str = "statevector",
) -> GradientVariance:
    """Returns one row of a scan; see :func:`gradient_variance_scan`.

    Raises:
        RequestError: If no weight changes the observable.
    """
    measured = cost_observable(circuit, cost)
    variances = gradient_variance(measured, samples, generator, inputs=inputs, executor=executor)
    alive = variances[list(trained_weights(measured))]
    if not len(alive):
        raise RequestError(
            f"no weight of circuit {circuit.name} with {circuit.qubits} qubits changes its {cost} "
            "observable, so there are no gradients to look at"
        )
    return GradientVariance(
        qubits=circuit.qubits,
        layers=layers,
        weights=len(alive),
        samples=samples,
        mean=float(alive.mean()),
        smallest=float(alive.min()),
        largest=float(alive.max()),
        two_design=two_design_variance(circuit.qubits),
    )


def two_design_variance(qubits: int) -> float:
    """Returns the variance between two 2-designs, for Pauli observables and rotations."""
    size = 2.0**qubits
    return size * size / (2.0 * (size * size - 1.0) * (size + 1.0))


def decay_rate(scan: Sequence[GradientVariance]) -> float | None:
    """Returns by how many powers of two the mean variance falls with each qubit, at one depth.

    A least-squares line through ``log2(mean)`` over the qubits; 1 for a barren plateau of 2-designs, about
    0 for none. None with fewer than two sizes, or if a variance is 0.
    """
    sizes = [float(row.qubits) for row in scan]
    if len(set(sizes)) < 2 or any(row.mean <= 0.0 for row in scan):
        return None
    logs = [math.log2(row.mean) for row in scan]
    centre, level = sum(sizes) / len(sizes), sum(logs) / len(logs)
    above = sum((x - centre) * (y - level) for x, y in zip(sizes, logs, strict=True))
    return -above / sum((x - centre) ** 2 for x in sizes)

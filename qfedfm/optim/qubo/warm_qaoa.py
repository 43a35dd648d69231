"""QAOA from a warm start, one layer after another. Egger, Mareček and Woerner, 2021, arXiv:2009.10095.

A continuous relaxation gives c in [0, 1]^n; every qubit starts in ``RY(θ_i)|0⟩``, ``θ_i = 2 arcsin √c_i`` (c
kept away from 0 and 1 by ε), and the mixer is the one whose ground state that is. Depth p starts from the
angles of depth p − 1, stretched (Zhou et al., 2020, arXiv:1812.01041).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from qfedfm.circuits import Circuit, Gate, Observable, Register, constant, weight_angle
from qfedfm.core.random import Streams
from qfedfm.optim.qubo.problem import Qubo, Values, dense
from qfedfm.optim.qubo.qaoa import on_qubits, ramp, shown, value_and_slope
from qfedfm.optim.qubo.solution import Found, Solution, Solver, against_best


class WarmQaoa(Solver):
    """The best of the strings that the circuit of the last depth shows, constraints as penalties.

    Args:
        layers: The last depth p.
        warm: Whether to start from the relaxation; otherwise from all strings alike, as plain QAOA.
        epsilon: How far c is kept from 0 and 1, at most ½ (which is no warm start).
        steps: Most iterations of L-BFGS at each depth.
        shots: Measured bit strings.
        penalty: What missing a count by one costs; None for a quarter of the strength that surely suffices.
    """

    kind: Literal["warm_qaoa"] = "warm_qaoa"
    layers: Annotated[int, Field(ge=1)] = 3
    warm: bool = True
    epsilon: Annotated[float, Field(gt=0, le=0.5)] = 0.25
    steps: Annotated[int, Field(ge=1)] = 50
    shots: Annotated[int, Field(ge=1)] = 1024
    penalty: Annotated[float, Field(gt=0)] | None = None

    def search(self, problem: Qubo, rng: np.random.Generator) -> Found:
        """Returns the best measured string.

        Raises:
            RequestError: More qubits than are simulated, slack variables included.
        """
        from scipy.optimize import minimize

        free = on_qubits(problem, self.penalty, self.kind, "swap or tabu")
        start = np.full(free.n, 0.5)
        if self.warm:
            start = np.clip(relaxed(free, rng), self.epsilon, 1.0 - self.epsilon)
        angles, circuits = ramp(1), 0
        for depth in range(1, self.layers + 1):
            circuit = circuit_of(free, start, depth)
            if depth > 1:
                angles = stretched(angles)
            found = minimize(
                value_and_slope,
                angles,
                args=(circuit,),
                jac=True,
                method="L-BFGS-B",
                options={"maxiter": self.steps},
            )
            angles, circuits = np.asarray(found.x), circuits + int(found.nfev)
        return shown(problem, circuit, angles, self.shots, rng, circuits)


def depth_sweep(
    problem: Qubo, depths: Sequence[int], streams: Streams, solver: WarmQaoa | None = None
) -> list[Solution]:
    """Returns one solution a depth, compared with the best of them.

    Args:
        problem: What to minimise.
        depths: The numbers of layers.
        streams: Source of randomness; every depth draws from its own.
        solver: All options but the depth.
    """
    base = solver or WarmQaoa()
    found = []
    for depth in depths:
        own = base.model_copy(update={"layers": depth})
        found.append(replace(own.solve(problem, streams("depth", depth)), solver=f"{own.kind} p={depth}"))
    return against_best(found)


def relaxed(problem: Qubo, rng: np.random.Generator, starts: int = 5) -> Values:
    """Returns a local minimum of the objective over [0, 1]^n, the best of several starts, shape (n,)."""
    from scipy.optimize import minimize

    pairs, linear = dense(problem.pairs), problem.linear

    def value(x: Values) -> tuple[float, Values]:
        slope = pairs @ x
        return float(linear @ x + 0.5 * x @ slope), linear + slope

    best: tuple[float, Values] | None = None
    for number in range(starts):
        first = np.full(problem.n, 0.5) if number == 0 else rng.random(problem.n)
        found = minimize(value, first, jac=True, method="L-BFGS-B", bounds=[(0.0, 1.0)] * problem.n)
        if best is None or found.fun < best[0]:
            best = float(found.fun), np.asarray(found.x)
    assert best is not None
    return best[1]


def circuit_of(problem: Qubo, start: Values, layers: int) -> Circuit:
    """Returns the circuit whose only expectation value is the objective over its largest coefficient.

    Args:
        problem: Without constraints.
        start: c, (n,), strictly between 0 and 1.
        layers: p; the weights are (γ, β) of each layer.
    """
    from scipy import sparse

    fields, couplings, _ = problem.ising()
    upper = sparse.coo_array(sparse.triu(couplings, 1))
    scale = max(float(np.abs(fields).max()), float(np.abs(upper.data).max(initial=0.0)), 1e-300)
    pairs = [
        (int(i), int(j), float(v / scale)) for i, j, v in zip(*upper.coords, upper.data, strict=True) if v
    ]
    singles = [(i, float(h / scale)) for i, h in enumerate(fields) if h]
    tilt = [2.0 * math.asin(math.sqrt(c)) for c in start]
    gates = [Gate("ry", (i,), (constant(t),)) for i, t in enumerate(tilt)]
    for layer in range(layers):
        gates += [Gate("rzz", (i, j), (weight_angle(2 * layer, v),)) for i, j, v in pairs]
        gates += [Gate("rz", (i,), (weight_angle(2 * layer, h),)) for i, h in singles]
        for i, t in enumerate(tilt):  # a turn about the axis of the start; β < 0 lowers, as in `ramp`
            gates += [
                Gate("ry", (i,), (constant(-t),)),
                Gate("rz", (i,), (weight_angle(2 * layer + 1),)),
                Gate("ry", (i,), (constant(t),)),
            ]
    terms = [(v, ((i, "Z"), (j, "Z"))) for i, j, v in pairs] + [(h, ((i, "Z"),)) for i, h in singles]
    if not terms:  # the objective is a constant
        terms = [(0.0, ((0, "Z"),))]
    return Circuit(
        problem.n,
        tuple(gates),
        (Observable(tuple(terms)),),
        weights=(Register("angles", 0, (layers, 2)),),
        name="warm_qaoa",
    )


def stretched(angles: Values) -> Values:
    """Returns angles of p + 1 layers from those of p, linearly interpolated along the schedule."""
    pairs = angles.reshape(-1, 2)
    p = len(pairs)
    padded = np.concatenate([np.zeros((1, 2)), pairs, np.zeros((1, 2))])
    share = np.arange(p + 1)[:, None] / p
    found: Values = (share * padded[:-1] + (1.0 - share) * padded[1:]).reshape(-1)
    return found

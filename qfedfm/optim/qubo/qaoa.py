"""Quantum approximate optimisation on our executor. Farhi, Goldstone and Gutmann, 2014, arXiv:1411.4028.

The circuit is the family ``qaoa``: vertices are variables, weights of edges the Ising couplings, weights
of vertices the Ising fields, so that the objective is a constant minus twice the cut. Angles are optimised
from a ramp (Sack and Serbyn, 2021, arXiv:2101.05742) and from random starts on exact expectation values; then
bit strings are measured.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from qfedfm.circuits import Circuit, family
from qfedfm.core.errors import RequestError
from qfedfm.optim.qubo.penalty import penalised, sufficient_strength
from qfedfm.optim.qubo.problem import Bits, Qubo, Values
from qfedfm.optim.qubo.solution import Found, Solver

#: Most qubits that are simulated.
LARGEST = 18
#: Total time over the number of layers at which the ramp starts, in units of the largest coefficient.
RAMP = 0.75


class Qaoa(Solver):
    """The best of the bit strings that the optimised circuit shows, constraints as penalties.

    Args:
        layers: Depth p.
        starts: The ramp and ``starts - 1`` random starts.
        steps: Most iterations of L-BFGS from each.
        shots: Measured bit strings.
        penalty: What missing a count by one costs; None for a quarter of the strength that surely suffices
            (strings that miss the counts are passed over, and a high wall hides the objective).
    """

    kind: Literal["qaoa"] = "qaoa"
    layers: Annotated[int, Field(ge=1)] = 2
    starts: Annotated[int, Field(ge=1)] = 3
    steps: Annotated[int, Field(ge=1)] = 50
    shots: Annotated[int, Field(ge=1)] = 1024
    penalty: Annotated[float, Field(gt=0)] | None = None

    def search(self, problem: Qubo, rng: np.random.Generator) -> Found:
        """Returns the best measured string.

        Raises:
            RequestError: More qubits than are simulated, slack variables included.
        """
        from scipy.optimize import minimize

        free = on_qubits(problem, self.penalty, self.kind, "swap or annealing")
        circuit = circuit_of(free, self.layers)
        if circuit is None:  # the objective is a constant
            return Found(np.zeros(problem.n, np.uint8), 0)
        starts = [ramp(self.layers)]
        starts += [rng.uniform(-np.pi, np.pi, 2 * self.layers) for _ in range(self.starts - 1)]
        best, circuits = None, 0
        for start in starts:
            found = minimize(
                _negative_cut,
                start,
                args=(circuit,),
                jac=True,
                method="L-BFGS-B",
                options={"maxiter": self.steps},
            )
            circuits += int(found.nfev)
            if best is None or found.fun < best.fun:
                best = found
        assert best is not None
        return shown(problem, circuit, best.x, self.shots, rng, circuits)


def on_qubits(problem: Qubo, penalty: float | None, kind: str, instead: str) -> Qubo:
    """Returns the problem with its constraints as penalties, by default of a quarter of what surely suffices.

    Args:
        problem: What to minimise.
        penalty: What missing a count by one costs.
        kind: The solver, as an error names it.
        instead: What an error recommends.

    Raises:
        RequestError: More qubits than are simulated, slack variables included.
    """
    if penalty is None and problem.constraints:
        penalty = sufficient_strength(problem) / 4
    free = penalised(problem, penalty)
    if free.n > LARGEST:
        raise RequestError(
            f"solver {kind} simulates at most {LARGEST} qubits, this problem needs {free.n}: use {instead}"
        )
    return free


def shown(
    problem: Qubo, circuit: Circuit, angles: Values, shots: int, rng: np.random.Generator, circuits: int
) -> Found:
    """Returns the best of the strings that the circuit shows; ``circuits`` were run to find its angles."""
    strings = measured(circuit, angles, shots, rng)[:, : problem.n]
    order = np.lexsort((problem.value(strings), problem.violation(strings)))
    return Found(strings[order[0]], len(strings), circuits, shots)


def circuit_of(problem: Qubo, layers: int) -> Circuit | None:
    """Returns the circuit whose cut is ``(constant - objective) / (2 scale)``; None for a constant objective.

    Coefficients are divided by the largest, so that angles are of order one.
    """
    from scipy import sparse

    fields, couplings, _ = problem.ising()
    upper = sparse.coo_array(sparse.triu(couplings, 1))
    scale = max(float(np.abs(fields).max()), float(np.abs(upper.data).max(initial=0.0)))
    if scale == 0.0:
        return None
    edges = [
        (int(i), int(j), float(c / scale)) for i, j, c in zip(*upper.coords, upper.data, strict=True) if c
    ]
    return family("qaoa", qubits=problem.n, layers=layers, edges=edges, fields=(fields / scale).tolist())


def ramp(layers: int) -> Values:
    """Returns angles (gamma, beta) of each layer as in a linear annealing schedule, shape (2 layers,)."""
    time = (np.arange(layers) + 0.5) / layers
    # RZZ(c gamma) is exp(-i gamma c ZZ / 2); the uniform superposition is the ground state of -X.
    return np.stack([2 * RAMP * time, -2 * RAMP * (1 - time)], axis=1).reshape(-1)


def _negative_cut(angles: Values, circuit: Circuit) -> tuple[float, Values]:
    cut, slope = value_and_slope(angles, circuit)
    return -cut, -slope


def value_and_slope(angles: Values, circuit: Circuit) -> tuple[float, Values]:
    """Returns the circuit's only expectation value and its derivatives by the angles, exact."""
    import torch

    from qfedfm.quantum import expectations

    weights = torch.tensor(angles, dtype=torch.float64, requires_grad=True)
    value = expectations(circuit, torch.zeros(1, 0, dtype=torch.float64), weights)[0, 0]
    value.backward()  # type: ignore[no-untyped-call]
    assert weights.grad is not None
    return float(value.detach()), weights.grad.numpy()


def measured(circuit: Circuit, angles: Values, shots: int, rng: np.random.Generator) -> Bits:
    """Returns the different strings among ``shots`` measured ones, shape (strings, qubits)."""
    import torch

    from qfedfm.quantum import states

    weights = torch.tensor(angles, dtype=torch.float64)
    state = states(circuit, torch.zeros(1, 0, dtype=torch.float64), weights)[0].numpy()
    chances = np.abs(state) ** 2
    seen = np.flatnonzero(rng.multinomial(shots, chances / chances.sum()))
    # qubit 0 is the most significant bit of the index
    shifts = np.arange(circuit.qubits - 1, -1, -1)
    return (seen[:, None] >> shifts & 1).astype(np.uint8)

"""A batched statevector in torch: differentiable (twice), on any device.

The state has shape ``(N, 2**n, C)``: with gates of weights only, N is the clients and C the samples,
so one matrix per client acts on all its samples at once; with gates that differ from sample to sample
after the first stage (re-uploading), N is clients times samples and C is 1. The single-qubit gates of a
stage are combined into matrices over up to four neighbouring qubits; a run of CNOTs is one indexing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from qfedfm.circuits import Circuit
from qfedfm.core.recent import Recent
from qfedfm.quantum.lowering import Element, Monomial, PauliRotation, Singles, lower, parity_signs
from qfedfm.quantum.torch_angles import AngleTable, SegmentTable, Tables
from qfedfm.quantum.torch_measuring import Measurement, pauli_action

GROUP = 4
_Apply = Callable[[Tensor, "Values"], Tensor]


class Values:
    """What the gates of one call evaluate to."""

    def __init__(self, plan: TorchPlan, inputs: Tensor, weights: Tensor) -> None:
        self.clients, self.batch = inputs.shape[:2]
        flat = plan.per_sample
        self.weight_segments = (
            plan.weight_segments(None, weights, plan.tables) if plan.weight_segments else None
        )
        self.sample_segments = (
            plan.sample_segments(inputs, weights, plan.tables) if plan.sample_segments else None
        )
        self.weight_angles = plan.weight_angles(None, weights) if plan.weight_angles else None
        if self.weight_angles is not None:  # (N, rows, 1)
            angles = self.weight_angles
            self.weight_angles = (angles.repeat_interleave(self.batch, 0) if flat else angles).unsqueeze(-1)
        self.sample_angles = plan.sample_angles(inputs, weights) if plan.sample_angles else None
        if self.sample_angles is not None:  # (N, rows, C)
            angles = self.sample_angles
            self.sample_angles = (
                angles.flatten(0, 1).unsqueeze(-1) if flat else angles.transpose(1, 2).contiguous()
            )


class TorchPlan:
    """A program prepared for one dtype and device.

    Args:
        circuit: What to run.
        dtype: ``torch.float32`` or ``torch.float64``.
        device: Where.
    """

    def __init__(self, circuit: Circuit, dtype: torch.dtype, device: torch.device) -> None:
        self.circuit = circuit
        self.qubits = circuit.qubits
        self.dtype, self.device = dtype, device
        self.tables = Tables(dtype, device)
        steps = list(lower(circuit).steps)
        self._weight_segments: list[tuple[Element, ...]] = []
        self._sample_segments: list[tuple[Element, ...]] = []
        self._rows: tuple[list[PauliRotation], list[PauliRotation]] = ([], [])
        first: Singles | None = None
        if steps and isinstance(steps[0], Singles) and not circuit.amplitudes:
            first = steps[0]
            steps.pop(0)
        # With samples in a later stage of single-qubit gates, every sample has its own matrices.
        self.per_sample = any(
            element.per_sample
            for step in steps
            if isinstance(step, Singles)
            for chain in step.chains.values()
            for element in chain
        )
        self._first = self._stage(first) if first is not None else None
        trailing: Monomial | None = None
        if steps and isinstance(steps[-1], Monomial) and all(o.diagonal for o in circuit.observables):
            trailing = steps[-1]
            steps.pop()
        self._steps = self._compile(steps)
        self._finish = self._permute(trailing) if trailing is not None else None
        shared = (circuit.n_weights, dtype, device)
        self.weight_segments = (
            SegmentTable(self._weight_segments, 0, *shared) if self._weight_segments else None
        )
        self.sample_segments = (
            SegmentTable(self._sample_segments, circuit.n_inputs, *shared) if self._sample_segments else None
        )
        by_weight, by_sample = ([rotation.angle for rotation in rows] for rows in self._rows)
        self.weight_angles = AngleTable(by_weight, 0, *shared) if by_weight else None
        self.sample_angles = AngleTable(by_sample, circuit.n_inputs, *shared) if by_sample else None
        self.measurement = Measurement(
            circuit, trailing.index if trailing is not None else None, dtype, device
        )

    def expectations(self, inputs: Tensor, weights: Tensor) -> Tensor:
        """Returns ``(K, B, observables)`` for inputs ``(K, B, n)`` and weights ``(K, m)``."""
        out = self.measurement(self._run(inputs, weights))
        if self.per_sample:
            return out.reshape(inputs.shape[0], inputs.shape[1], -1)
        return out.transpose(1, 2)

    def states(self, inputs: Tensor, weights: Tensor) -> Tensor:
        """Returns the complex states, shape ``(K, B, 2**n)``."""
        state = self._run(inputs, weights)
        if self._finish is not None:
            state = self._finish(state, None)  # type: ignore[arg-type]
        if self.per_sample:
            return state.reshape(inputs.shape[0], inputs.shape[1], -1)
        return state.transpose(1, 2)

    def _run(self, inputs: Tensor, weights: Tensor) -> Tensor:
        values = Values(self, inputs, weights)
        state = self._prepare(inputs, values)
        for step in self._steps:
            state = step(state, values)
        return state

    def _prepare(self, inputs: Tensor, values: Values) -> Tensor:
        clients, batch = values.clients, values.batch
        size = 2**self.qubits
        if self.circuit.amplitudes:
            norm: Tensor = torch.linalg.vector_norm(inputs, dim=-1, keepdim=True)
            state: Tensor = (inputs / norm).to(self.dtype.to_complex())
            return state.reshape(-1, size, 1) if self.per_sample else state.transpose(1, 2)
        if self._first is None:
            zero = torch.zeros(1, size, 1, dtype=self.dtype, device=self.device)
            zero[:, 0] = 1.0
            state = torch.complex(zero, torch.zeros_like(zero))
            return (
                state.expand(clients * batch, -1, 1) if self.per_sample else state.expand(clients, -1, batch)
            )
        q = self._first(values)  # (K, B, n, 4), or (K, n, 4) where no input enters
        columns = self.tables.columns(q)
        if columns.dim() == 3:
            columns = columns.unsqueeze(1).expand(-1, batch, -1, -1)
        if self.per_sample:
            columns = columns.flatten(0, 1).unsqueeze(-1)  # (N, n, 2, 1)
        else:
            columns = columns.permute(0, 2, 3, 1).contiguous()  # (K, n, 2, B)
        state = columns[:, 0]
        for qubit in range(1, self.qubits):
            state = (state.unsqueeze(2) * columns[:, qubit].unsqueeze(1)).flatten(1, 2)
        return state

    def _stage(self, stage: Singles) -> Callable[[Values], Tensor]:
        """Returns a function that gives the quaternions of all qubits of a stage."""
        runs = {q: _runs(stage.chains.get(q, ())) for q in range(self.qubits)}
        # Runs alternate between the two kinds; start with the kind that makes the longest chain shortest.
        length, first = min(
            (max(len(run) + (run[0][0] != first) for run in runs.values() if run), first)
            for first in (False, True)
        )
        pieces: list[tuple[bool, slice]] = []
        for position in range(length):
            per_sample = first == (position % 2 == 0)
            store = self._sample_segments if per_sample else self._weight_segments
            start = len(store)
            for run in runs.values():
                shifted = position - (1 if run and run[0][0] != first else 0)
                store.append(run[shifted][1] if 0 <= shifted < len(run) else ())
            pieces.append((per_sample, slice(start, len(store))))

        def evaluate(values: Values) -> Tensor:
            q: Tensor | None = None
            for per_sample, rows in pieces:
                source = values.sample_segments if per_sample else values.weight_segments
                assert source is not None
                part = source[..., rows, :]
                if q is None:
                    q = part
                    continue
                if part.dim() > q.dim():
                    q = q.unsqueeze(1)
                elif part.dim() < q.dim():
                    part = part.unsqueeze(1)
                q = self.tables.multiply(part, q)
            assert q is not None
            return q

        return evaluate

    def _compile(self, steps: list[Singles | Monomial | PauliRotation]) -> list[_Apply]:
        compiled: list[_Apply] = []
        position = 0
        while position < len(steps):
            step = steps[position]
            position += 1
            if isinstance(step, Singles):
                compiled.append(self._singles(step))
            elif isinstance(step, Monomial):
                compiled.append(self._permute(step))
            elif step.x:
                compiled.append(self._rotate(step))
            else:
                run = [step]
                while position < len(steps):
                    following = steps[position]
                    if not isinstance(following, PauliRotation) or following.x:
                        break
                    run.append(following)
                    position += 1
                compiled += [self._phases(run, True), self._phases(run, False)]
        return compiled

    def _singles(self, stage: Singles) -> _Apply:
        evaluate = self._stage(stage)
        count = -(-self.qubits // GROUP)
        bounds = np.linspace(0, self.qubits, count + 1).astype(int).tolist()
        groups = [
            (low, high)
            for low, high in pairwise(bounds)
            if any(low <= qubit < high for qubit in stage.chains)
        ]

        def apply(state: Tensor, values: Values) -> Tensor:
            matrices = self.tables.matrices(evaluate(values))
            if self.per_sample:
                if matrices.dim() == 4:
                    matrices = matrices.unsqueeze(1).expand(-1, values.batch, -1, -1, -1)
                matrices = matrices.flatten(0, 1)
            for low, high in groups:
                state = _apply_group(state, reduce(_kron, matrices[:, low:high].unbind(1)), low, self.qubits)
            return state

        return apply

    def _permute(self, step: Monomial) -> _Apply:
        index = torch.tensor(step.index, device=self.device)
        moves = bool((step.index != np.arange(len(step.index))).any())
        sign = None if step.sign is None else torch.tensor(step.sign, dtype=self.dtype, device=self.device)

        def apply(state: Tensor, values: Values) -> Tensor:
            if moves:
                state = state.index_select(1, index)
            return state if sign is None else state * sign.unsqueeze(-1)

        return apply

    def _row(self, rotation: PauliRotation) -> tuple[bool, int]:
        per_sample = bool(rotation.angle.inputs)
        rows = self._rows[per_sample]
        rows.append(rotation)
        return per_sample, len(rows) - 1

    def _rotate(self, rotation: PauliRotation) -> _Apply:
        """``cos(a/2) s - i sin(a/2) P s`` for a Pauli string with X or Y."""
        per_sample, row = self._row(rotation)
        index, phase = pauli_action(self.qubits, rotation.x, rotation.z, rotation.ys, self.dtype, self.device)
        phase = phase * -1j

        def apply(state: Tensor, values: Values) -> Tensor:
            source = values.sample_angles if per_sample else values.weight_angles
            assert source is not None
            half = source[:, row : row + 1] / 2
            return half.cos() * state + (half.sin() * phase) * state.index_select(1, index)

        return apply

    def _phases(self, run: list[PauliRotation], per_sample: bool) -> _Apply:
        """All rotations about Z strings of a run are one phase: ``exp(-i/2 sum a (-1)**|i & z|)``."""
        chosen = [rotation for rotation in run if bool(rotation.angle.inputs) == per_sample]
        rows = [self._row(rotation)[1] for rotation in chosen]
        signs = [torch.tensor(parity_signs(self.qubits, r.z), device=self.device) for r in chosen]
        small = len(signs) * 2**self.qubits <= 1 << 22
        matrix = torch.stack(signs, -1).to(self.dtype) if signs and small else None

        def apply(state: Tensor, values: Values) -> Tensor:
            if not rows:
                return state
            source = values.sample_angles if per_sample else values.weight_angles
            assert source is not None
            half = source[:, rows[0] : rows[-1] + 1] * -0.5
            if matrix is not None:
                total = matrix @ half
            else:
                total = torch.zeros_like(state.real)
                for k, sign in enumerate(signs):
                    total = total + sign.to(self.dtype).unsqueeze(-1) * half[:, k : k + 1]
            return state * torch.complex(total.cos(), total.sin())

        return apply


def _runs(chain: tuple[Element, ...]) -> list[tuple[bool, tuple[Element, ...]]]:
    """Splits a chain into runs that differ in whether inputs occur."""
    runs: list[tuple[bool, tuple[Element, ...]]] = []
    for element in chain:
        if runs and runs[-1][0] == element.per_sample:
            runs[-1] = (element.per_sample, (*runs[-1][1], element))
        else:
            runs.append((element.per_sample, (element,)))
    return runs


def _kron(a: Tensor, b: Tensor) -> Tensor:
    size = a.shape[-1] * b.shape[-1]
    return (a[:, :, None, :, None] * b[:, None, :, None, :]).reshape(-1, size, size)


def _apply_group(state: Tensor, matrix: Tensor, low: int, qubits: int) -> Tensor:
    """Applies ``matrix (N, g, g)`` to the qubits from ``low`` on; ``state (N, 2**n, C)``."""
    count, size, columns = state.shape
    g = matrix.shape[-1]
    left = 1 << low
    right = size // (left * g) * columns
    if left == 1:
        return torch.bmm(matrix, state.reshape(count, g, right)).reshape(state.shape)
    if right == 1:
        return torch.bmm(state.reshape(count, left, g), matrix.mT).reshape(state.shape)
    return torch.matmul(matrix.unsqueeze(1), state.reshape(count, left, g, right)).reshape(state.shape)


_PLANS: Recent[TorchPlan] = Recent(32)


def plan(circuit: Circuit, dtype: torch.dtype, device: torch.device) -> TorchPlan:
    """Returns the plan of a circuit; recent plans are kept."""
    return _PLANS.get((circuit.hash, dtype, device), lambda: TorchPlan(circuit, dtype, device))

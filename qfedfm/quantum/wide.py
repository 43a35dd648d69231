"""The ``statevector`` executor for few samples on many qubits: one sample at a time, threads over amplitudes.

With samples in the lanes a single sample would be padded to 16 of them. Here lanes and threads share the
amplitudes of one sample; a step (forward, backward) takes three state vectors: the state, the co-state, and
room for permutations. Angles and what they are made of are left to torch; the kernel differentiates by them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qfedfm.circuits import Angle, Circuit, Permutation, Rotation
from qfedfm.core.errors import RequestError
from qfedfm.core.recent import Recent
from qfedfm.quantum import linear_maps, wide_kernel
from qfedfm.quantum.aligned import aligned
from qfedfm.quantum.lowering import Singles, masks, stages
from qfedfm.quantum.pauli_strings import AngleColumns, strings_of
from qfedfm.quantum.threads import run_parallel

_PARTS = 16
_CHUNK = 1 << 12  # amplitudes that all gates of a step inside them find in the first cache
_AXIS = {"X": 0, "Y": 1, "Z": 2}


@dataclass(frozen=True)
class _Gates:
    """A step of rotations on single qubits: bit and chain ``((axis, element), ...)`` of each of them."""

    bits: Any
    chains: tuple[tuple[tuple[int, int], ...], ...]


@dataclass(frozen=True)
class _Linear:
    there: tuple[Any, Any]
    back: tuple[Any, Any]


@dataclass(frozen=True)
class _Exchange:
    need: int
    value: int
    flip: int


@dataclass(frozen=True)
class _Pauli:
    x: int
    z: int
    ys: int
    element: int


_Step = _Gates | _Linear | _Exchange | _Pauli


class WidePlan:
    """A circuit's steps, and where its angles come from.

    Args:
        circuit: What to run; without amplitudes as inputs.
        dtype: ``torch.float32`` or ``torch.float64``.
    """

    def __init__(self, circuit: Circuit, dtype: torch.dtype) -> None:
        self.circuit, self.dtype = circuit, dtype
        self.number: Any = np.float32 if dtype == torch.float32 else np.float64
        self.lanes = 64 // np.dtype(self.number).itemsize
        rows = 2**circuit.qubits // self.lanes
        assert rows >= wide_kernel.TILE, "too few qubits for this layout"
        self.chunk = max(wide_kernel.TILE, min(_CHUNK // self.lanes, rows // 4))
        self._elements: list[Angle] = []
        found = stages(circuit)
        self.strings = strings_of(circuit)
        letters = [masks(circuit.qubits, string) for string in self.strings.strings]
        if found and not isinstance(found[-1], Singles) and not any(x for x, _, _ in letters):
            trailing = self._fold(found[-1])
            if trailing is not None:  # <Z string> after the permutation is <Z string'> before it
                found.pop()
                letters = [(0, linear_maps.transposed(trailing, z), 0) for _, z, _ in letters]
        self.steps: list[_Step] = []
        for stage in found:
            self.steps += self._singles(stage) if isinstance(stage, Singles) else self._entanglers(stage)
        self.diagonal = [k for k, (x, _, _) in enumerate(letters) if x == 0]
        self.masks = np.array([letters[k][1] for k in self.diagonal], np.int64)
        self.others = [(k, *masks) for k, masks in enumerate(letters) if masks[0]]
        free = [k for k, angle in enumerate(self._elements) if angle.terms]
        self.free = np.array(free, int)
        self.constant = np.array([angle.offset for angle in self._elements])
        self.columns = AngleColumns(circuit, [self._elements[k] for k in free])

    def _element(self, angle: Angle) -> int:
        self._elements.append(angle)
        return len(self._elements) - 1

    def _fold(self, gates: tuple[Permutation | Rotation, ...]) -> linear_maps.Map | None:
        """Returns the inverse of a last permutation, if it is one; signs do not matter there."""
        moving = []
        for gate in gates:
            if isinstance(gate, Rotation) or gate.name not in ("cx", "swap", "cz"):
                return None
            moving += [gate] if gate.name != "cz" else []
        return linear_maps.of_gates(self.circuit.qubits, reversed(moving))

    def _singles(self, stage: Singles) -> list[_Step]:
        n, inside = self.circuit.qubits, self.chunk * self.lanes
        chains = {
            1 << (n - 1 - qubit): tuple((_AXIS[e.letter], self._element(e.angle)) for e in chain)
            for qubit, chain in stage.chains.items()
        }
        groups = [b for b in chains if b < inside], [b for b in chains if b >= inside]
        return [_Gates(np.array(bits, np.int64), tuple(chains[b] for b in bits)) for bits in groups if bits]

    def _entanglers(self, gates: tuple[Permutation | Rotation, ...]) -> list[_Step]:
        n = self.circuit.qubits
        steps: list[_Step] = []
        pending: list[Permutation] = []

        def flush() -> None:
            if pending:
                there = linear_maps.tables(linear_maps.of_gates(n, pending))
                back = linear_maps.tables(linear_maps.of_gates(n, reversed(pending)))
                steps.append(_Linear(there, back))
                pending.clear()

        for gate in gates:
            if isinstance(gate, Permutation) and gate.name in ("cx", "swap"):
                pending.append(gate)
                continue
            flush()
            bits = [1 << (n - 1 - qubit) for qubit in gate.qubits]
            if isinstance(gate, Rotation):
                string = masks(n, tuple(zip(gate.qubits, gate.letters, strict=True)))
                steps.append(_Pauli(*string, self._element(gate.angle)))
            elif gate.name == "cz":
                steps.append(_Exchange(sum(bits), sum(bits), 0))
            elif gate.name == "ccx":
                steps.append(_Exchange(sum(bits), bits[0] | bits[1], bits[2]))
            else:
                assert gate.name == "cswap", gate.name
                steps.append(_Exchange(sum(bits), bits[0] | bits[1], bits[1] | bits[2]))
        flush()
        return steps

    def space(self) -> Any:
        """Returns room for one state."""
        return aligned(2 << self.circuit.qubits, self.number)

    def forward(self, angles: Any) -> tuple[Any, Any]:
        """Returns the final state and the Pauli strings (float64) for one row of angles."""
        values = self._values(angles)
        psi, spare = self.space(), None
        psi[:] = 0
        psi[0] = 1
        for step in self.steps:
            if isinstance(step, _Linear):
                spare = self.space() if spare is None else spare
                self._run(wide_kernel.permute, (psi, spare), step.there)
                psi, spare = spare, psi
            else:
                self._apply(step, psi, values, 1.0)
        out = np.zeros((_PARTS, len(self.strings.strings)))
        if self.diagonal:
            found = np.zeros((_PARTS, len(self.diagonal)))
            self._run(wide_kernel.measure, (psi,), (self.masks, found))
            out[:, self.diagonal] = found
        for k, x, z, ys in self.others:
            both = np.zeros((_PARTS, 2))
            self._run(wide_kernel.overlap, (psi, psi), (x, z, ys, both))
            out[:, k] = both[:, 0]
        return psi, out.sum(0)

    def backward(self, angles: Any, psi: Any, slopes: Any) -> Any:
        """Returns the derivative by each angle (float64) for slopes by string; uses the state up."""
        values = self._values(angles)
        found = np.zeros(len(self._elements))
        lam, spare = self.space(), self.space()
        if self.diagonal:
            factors = slopes[self.diagonal].astype(self.number)
            self._run(wide_kernel.measure_back, (psi, lam), (self.masks, factors))
        else:
            lam[:] = 0
        for k, x, z, ys in self.others:
            self._run(wide_kernel.add_string, (lam, psi), (x, z, ys, self.number(slopes[k])))
        for step in reversed(self.steps):
            if isinstance(step, _Linear):
                self._run(wide_kernel.permute, (psi, spare), step.back)
                psi, spare = spare, psi
                self._run(wide_kernel.permute, (lam, spare), step.back)
                lam, spare = spare, lam
            elif isinstance(step, _Gates):
                self._gates_back(step, psi, lam, values, found)
            else:
                if isinstance(step, _Pauli):
                    both = np.zeros((_PARTS, 2))
                    self._run(wide_kernel.overlap, (lam, psi), (step.x, step.z, step.ys, both))
                    found[step.element] = both[:, 1].sum()
                self._apply(step, psi, values, -1.0)
                self._apply(step, lam, values, -1.0)
        return found[self.free]

    def _values(self, angles: Any) -> Any:
        values = self.constant.copy()
        values[self.free] = angles
        return values

    def _quaternions(self, step: _Gates, values: Any) -> Any:
        rows = [
            wide_kernel.quaternion([axis for axis, _ in chain], [float(values[e]) for _, e in chain])
            for chain in step.chains
        ]
        return np.repeat(np.array(rows, self.number).reshape(-1), self.lanes)

    def _apply(self, step: _Step, psi: Any, values: Any, direction: float) -> None:
        """Applies a step in place, or (direction -1) takes one back that is not made of gates."""
        if isinstance(step, _Gates):
            qs = self._quaternions(step, values)
            self._run(wide_kernel.forward_gates, (psi,), (self.chunk, step.bits, qs))
        elif isinstance(step, _Exchange):
            self._run(wide_kernel.exchange, (psi,), (step.need, step.value, step.flip))
        else:
            assert isinstance(step, _Pauli)
            half = direction * float(values[step.element]) / 2
            turn = self.number(np.cos(half)), self.number(np.sin(half))
            self._run(wide_kernel.rotate, (psi,), (step.x, step.z, step.ys, *turn))

    def _gates_back(self, step: _Gates, psi: Any, lam: Any, values: Any, found: Any) -> None:
        acc = np.zeros((_PARTS, len(step.bits), 3, self.lanes), self.number)
        qs = self._quaternions(step, values)
        self._run(wide_kernel.backward_gates, (psi, lam), (self.chunk, step.bits, qs, acc.reshape(-1)))
        for g, chain in zip(acc.sum((0, 3), dtype=np.float64), step.chains, strict=True):
            for axis, element in reversed(chain):
                found[element] = g[axis]
                c, s = np.cos(values[element]), np.sin(values[element])
                one, two = (axis + 1) % 3, (axis + 2) % 3
                g[one], g[two] = c * g[one] + s * g[two], c * g[two] - s * g[one]

    def threads(self) -> int:
        """How many threads share the amplitudes: those that torch has."""
        return min(_PARTS, torch.get_num_threads())

    def _run(self, function: Callable[..., None], arrays: tuple[Any, ...], rest: tuple[Any, ...]) -> None:
        threads = self.threads()
        ends = [_PARTS * number // threads for number in range(threads + 1)]
        run_parallel(
            [partial(function, *arrays, first, last, _PARTS, *rest) for first, last in pairwise(ends)]
        )


_PLANS: Recent[WidePlan] = Recent(16)


def plan(circuit: Circuit, dtype: torch.dtype) -> WidePlan:
    """Returns the plan of a circuit; recent plans are kept."""
    return _PLANS.get((circuit.hash, dtype), lambda: WidePlan(circuit, dtype))


class _Strings(torch.autograd.Function):
    """Pauli strings ``(N, s)`` by angles ``(N, columns)``, both float64."""

    @staticmethod
    def forward(ctx: Any, angles: Tensor, plan: WidePlan) -> Tensor:
        rows = angles.detach().numpy()
        keep = ctx.needs_input_grad[0]
        kept, values = [], []
        for row in rows:
            psi, strings = plan.forward(row)
            values.append(strings)
            if keep:
                kept.append(psi)
        ctx.save_for_backward(angles)
        ctx.plan, ctx.kept = plan, kept
        return torch.from_numpy(np.stack(values))

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        if torch.is_grad_enabled():
            raise RequestError(
                "executor statevector has no second derivatives (create_graph=True): use executor torch"
            )
        (angles,) = ctx.saved_tensors
        plan: WidePlan = ctx.plan
        kept, ctx.kept = ctx.kept, None
        slopes, found = upstream.numpy(), []
        for number, row in enumerate(angles.detach().numpy()):
            if kept is None:  # a second backward: the first one used the states up
                psi = plan.forward(row)[0]
            else:
                psi, kept[number] = kept[number], None
            found.append(plan.backward(row, psi, slopes[number]))
        return torch.from_numpy(np.stack(found)), None


def run(circuit: Circuit, inputs: Tensor, weights: Tensor) -> Tensor:
    """Returns ``(*clients, B, observables)``; inputs ``(*clients, B, n)``, weights ``(*clients, m)``."""
    prepared = plan(circuit, inputs.dtype)
    clients = inputs.shape[:-2].numel()
    x = inputs.reshape(clients, inputs.shape[-2], circuit.n_inputs)
    w = weights.reshape(clients, circuit.n_weights)
    strings: Tensor = _Strings.apply(prepared.columns(x, w), prepared)  # type: ignore[no-untyped-call]
    out = prepared.strings.combine(strings).to(inputs.dtype)
    return out.reshape(*inputs.shape[:-1], circuit.n_observables)

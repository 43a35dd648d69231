"""The ``statevector`` executor: the compiled kernel behind a torch function.

Numba rather than a C++ extension: it needs no compiler on the user's machine and no wheel per platform,
it compiles for exactly the processor it runs on, and what it compiles stays in a cache on disk.
"""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qfedfm.circuits import Circuit
from qfedfm.core.errors import RequestError
from qfedfm.core.recent import Recent
from qfedfm.quantum import kernel_calls
from qfedfm.quantum.aligned import aligned
from qfedfm.quantum.checking import check_arrays, check_numbers
from qfedfm.quantum.kernel_tables import pack, sizes
from qfedfm.quantum.memory import is_wide
from qfedfm.quantum.statevector_tables import build
from qfedfm.quantum.threads import run_parallel

# Amplitude updates (2**n times operations times tasks) from which threads pay for waking them.
_WORTH_THREADS = 150_000


class Plan:
    """A circuit's tables and the buffers its calls share.

    Args:
        circuit: What to run.
        dtype: ``torch.float32`` or ``torch.float64``.
    """

    def __init__(self, circuit: Circuit, dtype: torch.dtype) -> None:
        self.circuit, self.dtype = circuit, dtype
        self.lanes = 16 if dtype == torch.float32 else 8
        tables = build(circuit, np.float32 if dtype == torch.float32 else np.float64)
        self.client_size, self.task_size, self.thread_size = sizes(tables, self.lanes)
        self.work = (len(tables.ops) + 8) << circuit.qubits
        self.tables = pack(tables)
        self.observables = circuit.n_observables
        self._scratch: list[Any] = []

    def _borrow(self) -> Any:
        """Returns scratch space for one thread; it comes back by appending it to the list."""
        try:
            return self._scratch.pop()
        except IndexError:
            return aligned(self.thread_size, np.float32 if self.lanes == 16 else np.float64)

    def tasks(self, x: Any) -> int:
        """How many tiles of samples a call has."""
        return int(x.shape[0]) * -(-int(x.shape[1]) // self.lanes)

    def threads(self, tasks: int) -> int:
        """How many threads a call with this many tasks runs on: no more than torch has."""
        if tasks == 1 or self.work * tasks < _WORTH_THREADS:
            return 1
        return min(tasks, torch.get_num_threads())

    def forward(self, x: Any, w: Any, out: Any) -> Any:
        """Writes the expectation values to ``out`` and returns what backward needs."""
        tasks = self.tasks(x)
        kept = aligned(x.shape[0] * self.client_size + tasks * self.task_size, x.dtype)
        if self._split(tasks, len(x)):
            self._range(kernel_calls.forward, x, w, kept, 0, tasks, kernel_calls.CLIENTS, out)
        self._call(kernel_calls.forward, tasks, x, w, kept, out)
        return kept

    def backward(self, x: Any, w: Any, kept: Any, upstream: Any, gx: Any, gw: Any) -> None:
        """Writes the derivatives by inputs and weights; what was kept is used up."""
        tasks = self.tasks(x)
        self._call(kernel_calls.backward, tasks, x, w, kept, upstream, gx, gw)
        if self._split(tasks, len(x)):
            self._range(kernel_calls.backward, x, w, kept, 0, tasks, kernel_calls.CLIENTS, upstream, gx, gw)

    def _split(self, tasks: int, clients: int) -> bool:
        """Whether threads share the tasks of a client."""
        return clients < self.threads(tasks)

    def _call(self, function: Any, tasks: int, x: Any, w: Any, kept: Any, *results: Any) -> None:
        threads = self.threads(tasks)
        if threads == 1:
            self._range(function, x, w, kept, 0, tasks, kernel_calls.WHOLE, *results)
            return
        split = self._split(tasks, len(x))
        unit = 1 if split else tasks // len(x)
        ends = [unit * (tasks // unit * number // threads) for number in range(threads + 1)]
        what = kernel_calls.TASKS if split else kernel_calls.WHOLE
        run_parallel(
            [
                partial(self._range, function, x, w, kept, first, last, what, *results)
                for first, last in pairwise(ends)
            ]
        )

    def _range(
        self, function: Any, x: Any, w: Any, kept: Any, first: int, last: int, what: int, *results: Any
    ) -> None:
        scratch = self._borrow()
        function(*self.tables, x, w, kept, scratch, first, last, what, *results)
        self._scratch.append(scratch)


_PLANS: Recent[Plan] = Recent(32)


def plan(circuit: Circuit, dtype: torch.dtype) -> Plan:
    """Returns the plan of a circuit; recent plans are kept."""
    return _PLANS.get((circuit.hash, dtype), lambda: Plan(circuit, dtype))


class _Run(torch.autograd.Function):
    """Whole tensors go in and out, with all their client axes: every view around it would be a node."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weights: Tensor, plan: Plan, x: Any, w: Any) -> Tensor:
        out, flat = _space(inputs, plan.observables, x)
        ctx.kept = plan.forward(x, w, flat), x, w
        ctx.save_for_backward(inputs, weights)
        ctx.plan = plan
        return torch.from_numpy(out)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        if torch.is_grad_enabled():
            raise RequestError(
                "executor statevector has no second derivatives (create_graph=True): use executor torch"
            )
        inputs, weights = ctx.saved_tensors  # an error if they were changed in place
        plan: Plan = ctx.plan
        if ctx.kept is None:  # a second backward: the first one used the states up
            x, w = _arrays(inputs.detach(), weights.detach())
            kept = plan.forward(x, w, _space(inputs, plan.observables, x)[1])
        else:
            kept, x, w = ctx.kept
            ctx.kept = None
        slopes = _whole(upstream.numpy().reshape(*x.shape[:2], plan.observables))
        gx, flat_gx = _space(inputs, x.shape[2], x)
        gw = np.empty(weights.shape, x.dtype)
        plan.backward(x, w, kept, slopes, flat_gx, gw.reshape(w.shape))
        return torch.from_numpy(gx), torch.from_numpy(gw), None, None, None


def _space(inputs: Tensor, last: int, x: Any) -> tuple[Any, Any]:
    """Returns an array with ``last`` numbers a sample: with all client axes, and with one."""
    if inputs.dim() == 3:
        both = np.empty((*x.shape[:2], last), x.dtype)
        return both, both
    out = np.empty((*inputs.shape[:-1], last), x.dtype)
    return out, out.reshape(*x.shape[:2], last)


def _whole(values: Any) -> Any:
    return values if values.flags.c_contiguous else np.ascontiguousarray(values)


def _arrays(inputs: Tensor, weights: Tensor) -> tuple[Any, Any]:
    """Returns contiguous arrays ``(K, B, n)`` and ``(K, m)``, views where possible."""
    x, w = inputs.numpy(), weights.numpy()
    if x.ndim != 3:
        clients = math.prod(x.shape[:-2])
        x, w = x.reshape(clients, *x.shape[-2:]), w.reshape(clients, w.shape[-1])
    return _whole(x), _whole(w)


def run(circuit: Circuit, inputs: Tensor, weights: Tensor, finite: bool = False) -> Tensor:
    """Returns ``(*clients, B, observables)`` for inputs ``(*clients, B, n)`` and weights ``(*clients, m)``.

    Args:
        circuit: What to run.
        inputs: On the CPU.
        weights: On the CPU.
        finite: Whether to refuse NaN and infinities.
    """
    if is_wide(circuit, inputs.shape[-2], inputs.dtype.itemsize):
        from qfedfm.quantum import wide

        if finite:
            check_numbers(circuit, inputs, weights)
        return wide.run(circuit, inputs, weights)
    prepared = plan(circuit, inputs.dtype)
    x, w = _arrays(inputs.detach(), weights.detach())
    if finite:
        check_arrays(circuit, x, w)
    if torch.is_grad_enabled() and (inputs.requires_grad or weights.requires_grad):
        differentiable: Tensor = _Run.apply(inputs, weights, prepared, x, w)  # type: ignore[no-untyped-call]
        return differentiable
    out, flat = _space(inputs, prepared.observables, x)
    prepared.forward(x, w, flat)
    return torch.from_numpy(out)

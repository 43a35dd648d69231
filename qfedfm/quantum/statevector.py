"""The ``statevector`` executor: the compiled kernel behind a torch function.

Numba rather than a C++ extension: it needs no compiler on the user's machine and no wheel per platform,
it compiles for exactly the processor it runs on, and what it compiles stays in a cache on disk.
"""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qfedfm.circuits import Circuit
from qfedfm.core.errors import RequestError
from qfedfm.quantum import kernel_calls
from qfedfm.quantum.kernel_tables import sizes
from qfedfm.quantum.statevector_tables import build

# One parallel region at a time: not every threading layer of Numba allows more.
_PARALLEL = Lock()
# Amplitude updates (2**n times operations times tasks) from which threads pay for waking them.
_WORTH_THREADS = 40_000


class Plan:
    """A circuit's tables and the buffers its calls share.

    Args:
        circuit: What to run.
        dtype: ``torch.float32`` or ``torch.float64``.
    """

    def __init__(self, circuit: Circuit, dtype: torch.dtype) -> None:
        self.circuit, self.dtype = circuit, dtype
        self.lanes = 16 if dtype == torch.float32 else 8
        self.tables = build(circuit, np.float32 if dtype == torch.float32 else np.float64)
        self.client_size, self.task_size, self.thread_size = sizes(self.tables, self.lanes)
        self.work = (len(self.tables.ops) + 8) << circuit.qubits
        self._scratch: list[Any] = []

    def _borrow(self, threads: int) -> Any:
        """Returns scratch space for every thread; it comes back by appending it to the list."""
        try:
            scratch = self._scratch.pop()
        except IndexError:
            scratch = None
        if scratch is None or len(scratch) < threads:
            scratch = torch.empty(threads, self.thread_size, dtype=self.dtype).numpy()
        return scratch

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
        # torch allocates on a cache line, as vectors like it
        kept = torch.empty(x.shape[0] * self.client_size + tasks * self.task_size, dtype=self.dtype).numpy()
        self._call(kernel_calls.forward, tasks, x, w, kept, out)
        return kept

    def backward(self, x: Any, w: Any, kept: Any, upstream: Any, gx: Any, gw: Any) -> None:
        """Writes the derivatives by inputs and weights; what was kept is used up."""
        self._call(kernel_calls.backward, self.tasks(x), x, w, kept, upstream, gx, gw)

    def _call(self, function: Any, tasks: int, x: Any, w: Any, kept: Any, *results: Any) -> None:
        threads = self.threads(tasks)
        scratch = self._borrow(threads)
        if threads > 1:
            with _PARALLEL:
                threads = kernel_calls.use_threads(threads)
                function(self.tables, x, w, kept, scratch[:threads], *results)
        else:
            function(self.tables, x, w, kept, scratch[:1], *results)
        self._scratch.append(scratch)


_PLANS: OrderedDict[tuple[str, torch.dtype], Plan] = OrderedDict()


def plan(circuit: Circuit, dtype: torch.dtype) -> Plan:
    """Returns the plan of a circuit; recent plans are kept."""
    key = (circuit.hash, dtype)
    found = _PLANS.get(key)
    if found is None:
        found = _PLANS[key] = Plan(circuit, dtype)
        while len(_PLANS) > 32:
            _PLANS.popitem(last=False)
    return found


class _Run(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weights: Tensor, plan: Plan) -> Tensor:
        x, w = inputs.numpy(), weights.numpy()
        out = torch.empty(*x.shape[:2], plan.circuit.n_observables, dtype=plan.dtype)
        ctx.kept = plan.forward(x, w, out.numpy())
        ctx.save_for_backward(inputs, weights)
        ctx.plan = plan
        return out

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, None]:
        if torch.is_grad_enabled():
            raise RequestError(
                "executor statevector has no second derivatives (create_graph=True): use executor torch"
            )
        inputs, weights = ctx.saved_tensors
        x, w = inputs.detach().numpy(), weights.detach().numpy()
        kept, ctx.kept = ctx.kept, None
        if kept is None:  # a second backward: the first one used the states up
            out = torch.empty(*x.shape[:2], ctx.plan.circuit.n_observables, dtype=ctx.plan.dtype)
            kept = ctx.plan.forward(x, w, out.numpy())
        gx, gw = torch.empty(x.shape, dtype=ctx.plan.dtype), torch.empty(w.shape, dtype=ctx.plan.dtype)
        ctx.plan.backward(x, w, kept, upstream.contiguous().numpy(), gx.numpy(), gw.numpy())
        return gx, gw, None


def run(circuit: Circuit, inputs: Tensor, weights: Tensor) -> Tensor:
    """Returns ``(K, B, observables)`` for inputs ``(K, B, n)`` and weights ``(K, m)`` on the CPU."""
    prepared = plan(circuit, inputs.dtype)
    inputs, weights = inputs.contiguous(), weights.contiguous()
    if torch.is_grad_enabled() and (inputs.requires_grad or weights.requires_grad):
        differentiable: Tensor = _Run.apply(inputs, weights, prepared)  # type: ignore[no-untyped-call]
        return differentiable
    out = torch.empty(*inputs.shape[:2], circuit.n_observables, dtype=inputs.dtype)
    prepared.forward(inputs.detach().numpy(), weights.detach().numpy(), out.numpy())
    return out

"""The compiled statevector over a range of tasks (a client and a tile of its samples).

They let go of Python's lock, so that ranges run on ordinary threads. Only the two functions at the end are
cached on disk. Numba looks at the file of a function alone to see
whether its cache is stale, so they carry a digest of all files they are compiled from.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from qfedfm.core.compiled import cached, compiled, digest
from qfedfm.quantum import (
    angle_lanes,
    kernel_backward,
    kernel_forward,
    kernel_tables,
    kernel_views,
    lanes,
    vector_code,
)
from qfedfm.quantum.kernel_backward import backward_task, finish_client
from qfedfm.quantum.kernel_forward import forward_task, prepare_client, runs_place
from qfedfm.quantum.kernel_tables import unpack


class _Places(NamedTuple):
    """Sizes and starts of the parts of ``kept`` (see :func:`kernel_tables.sizes`)."""

    width: int
    tiles: int
    state: int
    client: int
    task: int
    gradients: int
    first_task: int
    first_client: int
    first_gradients: int


@compiled
def _places(t, x, kept):
    width = angle_lanes.lanes_of(kept)
    tiles = -(-x.shape[1] // width)
    tasks = x.shape[0] * tiles
    runs = len(t.run_start) - 1
    state = 2 * width << t.qubits
    client = -(-(runs_place(t, width) + 13 * runs) // width) * width
    task = width * (2 * t.sample_rows + 4 * t.matrices)
    gradients = -(-(3 * runs + t.weight_rows + t.n_weights) // width) * width
    after_tasks = tasks * (state + task)
    after_clients = after_tasks + x.shape[0] * client
    return _Places(width, tiles, state, client, task, gradients, tasks * state, after_tasks, after_clients)


@compiled
def _client(p, k, kept):
    return kernel_views.stretch(kept, p.first_client + k * p.client, p.first_client + (k + 1) * p.client)


@compiled
def _task(p, number, kept):
    return kernel_views.stretch(kept, p.first_task + number * p.task, p.first_task + (number + 1) * p.task)


#: What a range is of: whole clients; clients without their tasks; tasks without their clients.
WHOLE, CLIENTS, TASKS = range(3)


def _cached_calls(version: int) -> tuple[Callable[..., None], Callable[..., None]]:
    @cached
    def forward(integers, reals, permutations, x, w, kept, scratch, first, last, what, out):
        version  # noqa: B018  (numba finds what it compiled by the values a function closes over)
        t = unpack(integers, reals, permutations)
        x, w, out = kernel_views.borrowed(x), kernel_views.borrowed(w), kernel_views.borrowed(out)
        kept, scratch = kernel_views.borrowed(kept), kernel_views.borrowed(scratch)
        p = _places(t, x, kept)
        for number in range(first, last):
            k = number // p.tiles
            tile = number - k * p.tiles
            wc = _client(p, k, kept)
            if tile == 0 and what != TASKS:
                prepare_client(t, w, k, wc)
            if what != CLIENTS:
                ws = _task(p, number, kept)
                forward_task(t, x, w, k, tile * p.width, wc, ws, kept, number * p.state, scratch, out)

    @cached
    def backward(integers, reals, permutations, x, w, kept, scratch, first, last, what, upstream, gx, gw):
        version  # noqa: B018
        t = unpack(integers, reals, permutations)
        x, w, gx, gw = (
            kernel_views.borrowed(x),
            kernel_views.borrowed(w),
            kernel_views.borrowed(gx),
            kernel_views.borrowed(gw),
        )
        kept, scratch, upstream = (
            kernel_views.borrowed(kept),
            kernel_views.borrowed(scratch),
            kernel_views.borrowed(upstream),
        )
        p = _places(t, x, kept)
        for number in range(first, last):
            k = number // p.tiles
            tile = number - k * p.tiles
            wc = _client(p, k, kept)
            if what != CLIENTS:
                ws = _task(p, number, kept)
                start = p.first_gradients + number * p.gradients
                grad = kernel_views.stretch(kept, start, start + p.gradients)
                for place in range(p.gradients):
                    grad[place] = 0
                begin = tile * p.width
                for sample in range(begin, min(begin + p.width, x.shape[1])):
                    for number_in in range(x.shape[2]):
                        gx[k, sample, number_in] = 0
                backward_task(
                    t, x, w, k, begin, wc, ws, kept, number * p.state, scratch, upstream, gx, grad
                )  # fmt: skip
            if tile == p.tiles - 1 and what != TASKS:
                start = p.first_gradients + k * p.tiles * p.gradients
                grads = kernel_views.rows_of(kept, start, start + p.tiles * p.gradients, p.gradients)
                finish_client(t, w, k, wc, grads, gw)

    return forward, backward


#: ``forward(*packed, x (K, B, n), w (K, m), kept, scratch, first, last, what, out (K, B, observables))``
#: fills ``out`` and ``kept`` for tasks ``first`` to ``last``; ``backward(..., upstream, gx, gw)`` fills
#: ``gx`` and ``gw`` and uses the states in ``kept`` up. With :data:`WHOLE`, a range begins and ends at a
#: client. :data:`CLIENTS` has to come first forward and last backward, :data:`TASKS` in between, in any
#: order: sums are taken in the same order whatever the threads, so the bits are the same.
_SOURCES = (angle_lanes, kernel_backward, kernel_forward, kernel_tables, kernel_views, lanes, vector_code)
forward, backward = _cached_calls(digest(*(module.__file__ for module in _SOURCES), __file__))

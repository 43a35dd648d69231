"""Running a circuit: one function and one layer in front of every executor.

``expectations`` and :class:`QuantumLayer` take the executor by name (see :func:`check_executor`).
Nothing heavy is imported until it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from qfedfm.quantum.names import check_executor, executors, resolve_executor
from qfedfm.quantum.noise import Noise

if TYPE_CHECKING:
    from qfedfm.quantum.layer import QuantumLayer, initial_weights
    from qfedfm.quantum.memory import check_memory, memory_needed
    from qfedfm.quantum.metric import metric_blocks, metric_tensor, trained_weights
    from qfedfm.quantum.running import expectations, states

__all__ = [
    "Noise",
    "QuantumLayer",
    "check_executor",
    "check_memory",
    "executors",
    "expectations",
    "initial_weights",
    "memory_needed",
    "metric_blocks",
    "metric_tensor",
    "resolve_executor",
    "states",
    "trained_weights",
]

_HOMES = {
    "QuantumLayer": "layer",
    "check_memory": "memory",
    "expectations": "running",
    "initial_weights": "layer",
    "memory_needed": "memory",
    "metric_blocks": "metric",
    "metric_tensor": "metric",
    "states": "running",
    "trained_weights": "metric",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

"""IBM Quantum: what a job will cost, a ledger of jobs on disk, submit and fetch; fake backends and real ones.

A job is one call of the runtime's client-side ``Sampler`` (``qiskit_ibm_runtime.executor_sampler``) with
broadcast PUBs: one for each group of observables that is read off one measurement, with the parameters of all
samples. Everything after the counts (values, standard errors, readout mitigation, extrapolation to zero
noise) is computed here from what the ledger keeps, so that a fake backend and a real one differ in nothing
but who counts. Nothing heavy is imported until it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from qfedfm.quantum.ibm.options import JobOptions, Zne

if TYPE_CHECKING:
    from qfedfm.quantum.ibm.backends import describe_backend, find_backend, list_backends
    from qfedfm.quantum.ibm.estimating import Estimate, estimate
    from qfedfm.quantum.ibm.program import Program, compile_program

__all__ = [
    "Estimate",
    "JobOptions",
    "Program",
    "Zne",
    "compile_program",
    "describe_backend",
    "estimate",
    "find_backend",
    "list_backends",
]

_HOMES = {
    "Estimate": "estimating",
    "Program": "program",
    "compile_program": "program",
    "describe_backend": "backends",
    "estimate": "estimating",
    "find_backend": "backends",
    "list_backends": "backends",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

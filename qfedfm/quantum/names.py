"""The names of the executors, checked without importing any of them."""

from __future__ import annotations

from qfedfm.core.config import nearest
from qfedfm.core.errors import NotBuiltError, RequestError

_BUILT = ("auto", "statevector", "torch")
_NOT_BUILT = ("aer", "ibm", "pennylane")


def executors() -> tuple[str, ...]:
    """Returns the names of the executors that exist."""
    return _BUILT


def check_executor(name: str) -> str:
    """Returns ``name`` if it is an executor that exists; imports nothing heavy.

    Raises:
        NotBuiltError: The executor is planned, but not built yet.
        RequestError: There is no such executor.
    """
    kind = name.partition(":")[0]
    if name in _BUILT:
        return name
    if kind in _NOT_BUILT:
        raise NotBuiltError(f"executor {name!r} is not built yet{nearest('', _BUILT)}")
    raise RequestError(f"unknown executor {name!r}{nearest(name, _BUILT)}")

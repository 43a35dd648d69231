"""The names of the executors, checked without importing any of them."""

from __future__ import annotations

from qfedfm.core.config import nearest
from qfedfm.core.errors import RequestError

_PLAIN = ("aer", "auto", "statevector", "torch")
_WITH_NAME = ("aer", "ibm", "pennylane")


def executors() -> tuple[str, ...]:
    """Returns the names of the executors, as a user writes them."""
    return (*_PLAIN, "aer:<method or fake backend>", "ibm:<backend>", "pennylane:<device>")


def check_executor(name: str) -> str:
    """Returns ``name`` if there is such an executor; imports nothing heavy.

    Whether PennyLane has the device, Aer the fake backend or IBM the backend, is seen when it is used.

    Raises:
        RequestError: There is no such executor.
    """
    kind, _, rest = name.partition(":")
    if name in _PLAIN or (kind in _WITH_NAME and rest):
        return name
    if name == "pennylane":
        raise RequestError("executor pennylane needs a device: for example pennylane:default.qubit")
    if name == "ibm":
        raise RequestError("executor ibm needs a backend: for example ibm:fake_manila")
    raise RequestError(f"unknown executor {name!r}{nearest(name, executors())}")


def resolve_executor(name: str, device: str) -> str:
    """Returns what ``auto`` stands for on a device, any other name as it is; imports nothing heavy.

    Args:
        name: An executor.
        device: ``cpu``, ``cuda`` or ``cuda:<number>``.

    Returns:
        For ``auto`` the torch executor on a GPU and the compiled ``statevector`` elsewhere.
    """
    if name != "auto":
        return name
    return "torch" if device.startswith("cuda") else "statevector"

"""Backends by name: installed fake ones without an account, real ones with one."""

from __future__ import annotations

import statistics
import warnings
from functools import lru_cache
from typing import Any

from qfedfm.core.config import nearest
from qfedfm.core.errors import RequestError
from qfedfm.quantum.ibm.account import CHANNEL, connect, has_account, speaking

_NO_GATES = {"measure", "delay", "reset", "id", "if_else", "for_loop", "while_loop", "switch_case", "barrier"}


def is_fake(name: str) -> bool:
    """Returns whether ``name`` is that of a fake backend."""
    return name.startswith("fake_")


@lru_cache(maxsize=1)
def _fakes() -> dict[str, Any]:
    try:
        from qiskit_ibm_runtime.fake_provider import FakeProviderForBackendV2
    except ImportError as error:
        raise RequestError("fake backends need the extra qfedfm[ibm]") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one of them says that its figures are made up; see notes_of
        return {backend.name: backend for backend in FakeProviderForBackendV2().backends()}


def find_backend(name: str, service: Any = None) -> Any:
    """Returns the backend of a name.

    Args:
        name: ``fake_<device>`` for an installed fake backend, else one of the account's.
        service: The runtime's service; connects if none is given.

    Raises:
        RequestError: There is no such backend, or no account for a real one.
    """
    if is_fake(name):
        known = _fakes()
        if name not in known:
            raise RequestError(f"there is no fake backend {name!r}{nearest(name, known)}")
        return known[name]
    if service is None:
        if not has_account():
            fakes = nearest(f"fake_{name.removeprefix('ibm_')}", _fakes())
            hint = fakes if "did you mean" in fakes else ""
            connect_sentence = f"backend {name!r} needs an IBM Quantum account{hint}"
            raise RequestError(f"{connect_sentence}; qfedfm ibm backends says how to save one")
        service = connect()
    from qiskit.providers.exceptions import QiskitBackendNotFoundError

    with speaking():
        try:
            return service.backend(name)
        except QiskitBackendNotFoundError:
            # The client takes an instance that refuses the token for one without backends: ask otherwise.
            service.usage()
            raise


def describe_backend(backend: Any, *, queue: bool = False) -> dict[str, Any]:
    """Returns what one chooses a backend by.

    Args:
        backend: The backend.
        queue: Whether to ask a real backend for its queue.

    Returns:
        ``name``, ``qubits``, ``basis_gates``, ``two_qubit_gate``; medians ``two_qubit_error``,
        ``one_qubit_error``, ``readout_error`` and ``t1_microseconds`` (null where not measured); ``queue``
        (jobs waiting; null for a fake one), ``operational``, ``calibrated`` (when) and ``notes``.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        target = backend.target
    gates = sorted(name for name in target.operation_names if name not in _NO_GATES)
    errors: dict[int, list[float]] = {1: [], 2: []}
    names: dict[str, int] = {}
    for name in gates:
        for qubits, found in (target[name] or {}).items():
            error = getattr(found, "error", None)
            if qubits is None or error is None or len(qubits) > 2 or error >= 1.0:
                continue  # an error of 1 marks a gate that is switched off
            if error > 0 or len(qubits) == 2:
                errors[len(qubits)].append(float(error))
            if len(qubits) == 2:
                names[name] = names.get(name, 0) + 1
    readout = [
        float(found.error)
        for found in (target["measure"] if "measure" in target.operation_names else {}).values()
        if found is not None and found.error is not None and found.error < 1.0
    ]
    t1 = [q.t1 * 1e6 for q in target.qubit_properties or [] if q is not None and q.t1 is not None]
    waiting, operational = None, True
    if queue:
        with speaking():
            status = backend.status()
        waiting, operational = int(status.pending_jobs), bool(status.operational)
    return {
        "name": backend.name,
        "qubits": int(backend.num_qubits),
        "basis_gates": gates,
        "two_qubit_gate": max(names, key=lambda name: names[name]) if names else None,
        "two_qubit_error": _median(errors[2]),
        "one_qubit_error": _median(errors[1]),
        "readout_error": _median(readout),
        "t1_microseconds": _median(t1),
        "queue": waiting,
        "operational": operational,
        "calibrated": calibrated(backend),
        "notes": notes_of(backend),
    }


def calibrated(backend: Any) -> str | None:
    """Returns when the backend's figures were measured, ISO 8601, or None where it does not say."""
    properties = backend.properties() if hasattr(backend, "properties") else None
    when = getattr(properties, "last_update_date", None)
    return None if when is None else str(when.isoformat())


def notes_of(backend: Any) -> list[str]:
    """Returns what a user should know of a backend's figures."""
    if backend.name == "fake_nighthawk":
        return ["its error rates are not those of a device"]
    return []


def list_backends(*, fake: bool | None = None, least: int = 1) -> tuple[str, list[dict[str, Any]]]:
    """Describes the account's backends, or without an account the installed fake ones.

    Args:
        fake: True for the fake ones, False for the account's; by default the account's if there is one.
        least: Only those with so many qubits.

    Returns:
        The channel (``ibm_quantum_platform`` or ``local``), and the backends by number of qubits.
    """
    if fake is None:
        fake = not has_account()
    if fake:
        found = [backend for backend in _fakes().values() if backend.num_qubits >= least]
    else:
        service = connect()
        with speaking():
            found = service.backends(min_num_qubits=least)
    rows = [describe_backend(backend, queue=not fake) for backend in found]
    return ("local" if fake else CHANNEL), sorted(rows, key=lambda row: (row["qubits"], row["name"]))


def _median(values: list[float]) -> float | None:
    return float(statistics.median(values)) if values else None

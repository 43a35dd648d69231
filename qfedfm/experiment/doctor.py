"""What an installation can do: packages, weights, device, precision, cache."""

from __future__ import annotations

from importlib import metadata, util
from typing import Any

from qfedfm.core.errors import QfedfmError
from qfedfm.core.files import cache_folder

_BASE = (
    "torch",
    "transformers",
    "peft",
    "pennylane",
    "qiskit",
    "numpy",
    "scipy",
    "pandas",
    "safetensors",
    "cryptography",
)
_EXTRAS = {
    "aer": "qiskit_aer",
    "ibm": "qiskit_ibm_runtime",
    "flower": "flwr",
    "he": "tenseal",
    "qkd": "fastapi",
    "tensorboard": "tensorboard",
    "notebooks": "nbclient",
    "hub": "datasets",
    "annealing": "dwave",
}


def examine() -> list[dict[str, Any]]:
    """Returns findings ``{"name", "state", "detail"}``; states are ok, missing (an extra) and broken."""
    findings = [_package(name) for name in _BASE]
    for extra, module in _EXTRAS.items():
        there = util.find_spec(module) is not None
        detail = "installed" if there else f"pip install 'qfedfm[{extra}]'"
        findings.append(_finding(f"extra {extra}", "ok" if there else "missing", detail))
    findings.append(_weights())
    findings.append(_device())
    try:
        folder = cache_folder()
        findings.append(_finding("cache", "ok", str(folder)))
    except OSError as error:
        findings.append(_finding("cache", "broken", f"{error}; set QFEDFM_CACHE to a writable folder"))
    return findings


def _finding(name: str, state: str, detail: str) -> dict[str, Any]:
    return {"name": name, "state": state, "detail": detail}


def _package(name: str) -> dict[str, Any]:
    try:
        return _finding(name, "ok", metadata.version(name))
    except metadata.PackageNotFoundError:
        return _finding(name, "broken", f"not installed; pip install {name}")


def _weights() -> dict[str, Any]:
    from qfedfm.models.backbones.source import find

    try:
        return _finding("backbone minilm", "ok", f"weights verified, {find('minilm').hash[:16]}")
    except QfedfmError as error:
        return _finding("backbone minilm", "broken", str(error))


def _device() -> dict[str, Any]:
    import torch

    from qfedfm.models import resolve_precision

    device = "cuda" if torch.cuda.is_available() else "cpu"
    name = torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} threads"
    return _finding(
        "device", "ok", f"{device} ({name}), precision auto is {resolve_precision('auto', device)}"
    )

"""Families: circuits of any size, each in the file that bears its name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from qfedfm.circuits.circuit import Circuit
from qfedfm.circuits.families.amplitude import amplitude
from qfedfm.circuits.families.basic_entangler import basic_entangler
from qfedfm.circuits.families.bb84_prepare_measure import bb84_prepare_measure
from qfedfm.circuits.families.brickwork import brickwork
from qfedfm.circuits.families.convolution import convolution
from qfedfm.circuits.families.descriptions import Description, describe
from qfedfm.circuits.families.ghz_phase_sum import ghz_phase_sum
from qfedfm.circuits.families.hadamard_test import hadamard_test
from qfedfm.circuits.families.hardware_efficient import hardware_efficient
from qfedfm.circuits.families.iqp import iqp
from qfedfm.circuits.families.matchgate import matchgate
from qfedfm.circuits.families.qaoa import qaoa
from qfedfm.circuits.families.qft_sum import qft_sum
from qfedfm.circuits.families.reuploading import reuploading
from qfedfm.circuits.families.strongly_entangling import strongly_entangling
from qfedfm.circuits.families.swap_test import swap_test
from qfedfm.core.config import nearest
from qfedfm.core.errors import RequestError

_FAMILIES: dict[str, Callable[..., Circuit]] = {
    "amplitude": amplitude,
    "basic_entangler": basic_entangler,
    "bb84_prepare_measure": bb84_prepare_measure,
    "brickwork": brickwork,
    "convolution": convolution,
    "ghz_phase_sum": ghz_phase_sum,
    "hadamard_test": hadamard_test,
    "hardware_efficient": hardware_efficient,
    "iqp": iqp,
    "matchgate": matchgate,
    "qaoa": qaoa,
    "qft_sum": qft_sum,
    "reuploading": reuploading,
    "strongly_entangling": strongly_entangling,
    "swap_test": swap_test,
}


def families() -> tuple[str, ...]:
    """Returns the names of all families, sorted."""
    return tuple(sorted(_FAMILIES))


def family_options(name: str) -> tuple[str, ...]:
    """Returns the names of a family's options beside ``qubits`` and ``layers``."""
    parameters = inspect.signature(_builder(name)).parameters
    return tuple(option for option in parameters if option not in ("qubits", "layers"))


def family_description(name: str) -> Description:
    """Returns what a family is, in words: title, paper, text, options, use."""
    return describe(_builder(name))


def family(name: str, *, qubits: int, layers: int = 1, **options: Any) -> Circuit:
    """Builds a circuit of a family.

    Args:
        name: One of :func:`families`.
        qubits: Number of qubits, at least 1 (some families need more).
        layers: Number of repetitions, at least 1.
        **options: What the family takes beside these; see :func:`family_options`.

    Returns:
        The circuit; the same arguments give the same object.

    Raises:
        RequestError: An unknown family or option, or a number out of range.
    """
    builder = _builder(name)
    for what, value in (("qubits", qubits), ("layers", layers)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise RequestError(
                f"{what} of circuit {name} must be a whole number of at least 1, got {value!r}"
            )
    for option in options:
        if option not in family_options(name):
            known = nearest(option, family_options(name))
            raise RequestError(f"circuit {name} has no option {option!r}{known}")
    frozen = tuple((key, _frozen(value)) for key, value in sorted(options.items()))
    return _build(builder, qubits, layers, frozen)


def _frozen(value: Any) -> Any:
    return tuple(_frozen(part) for part in value) if isinstance(value, list | tuple) else value


@lru_cache(maxsize=256)
def _build(
    builder: Callable[..., Circuit], qubits: int, layers: int, options: tuple[tuple[str, Any], ...]
) -> Circuit:
    return builder(qubits=qubits, layers=layers, **dict(options))


def _builder(name: str) -> Callable[..., Circuit]:
    if name not in _FAMILIES:
        raise RequestError(f"unknown circuit family {name!r}{nearest(name, _FAMILIES)}")
    return _FAMILIES[name]

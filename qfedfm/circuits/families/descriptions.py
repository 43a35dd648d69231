"""What a family is, read from where it is written: the docstrings of its module and its function."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

#: What each family is used for.
_USES = {
    "amplitude": "Heads that take many features in few qubits, on simulators: preparing the state costs a "
    "device exponentially many gates.",
    "basic_entangler": "Heads with few weights; a small baseline beside strongly_entangling.",
    "bb84_prepare_measure": "The quantum part of key distribution, one pulse a qubit.",
    "brickwork": "Heads on devices with a line of qubits; local circuits whose depth sets how far they see.",
    "convolution": "Heads with weights shared between qubits; known to have no barren plateaus.",
    "ghz_phase_sum": "Learning only the sum of what clients hold.",
    "hadamard_test": "Signed overlaps, such as the cosine between two updates.",
    "hardware_efficient": "Heads for a given device: its rotations, its entangler, its topology.",
    "iqp": "Feature maps and kernels whose values are thought hard to sample classically.",
    "matchgate": "A control: entanglement that a classical computer follows in polynomial time.",
    "qaoa": "Choosing subsets, such as which updates to combine.",
    "qft_sum": "Adding the clients' numbers exactly, modulo a power of two.",
    "reuploading": "Heads whose output is a richer Fourier series of the inputs: one frequency more a layer.",
    "strongly_entangling": "The default head.",
    "swap_test": "Overlaps of two states without their sign, such as the likeness of two updates.",
}


@dataclass(frozen=True)
class Description:
    """A family in words.

    Attributes:
        title: One line.
        paper: Authors, year and where to find it.
        text: What the circuit is.
        options: What its options mean, by name; ``qubits`` and ``layers`` first.
        use: What it is used for.
    """

    title: str
    paper: str
    text: str
    options: dict[str, str]
    use: str


def describe(name: str, builder: Callable[..., Any]) -> Description:
    """Returns the words of a family."""
    first = (sys.modules[builder.__module__].__doc__ or "").strip().splitlines()[0]
    title, _, paper = first.partition(". ")
    body, _, arguments = inspect.cleandoc(builder.__doc__ or "").partition("\nArgs:\n")
    options: dict[str, str] = {}
    for line in arguments.splitlines():
        match = re.match(r"^    (\w+): (.*)$", line)
        if match:
            options[match[1]] = match[2]
        elif line.startswith("        ") and options:
            options[list(options)[-1]] += " " + line.strip()
    return Description(title, paper.rstrip("."), body.strip(), options, _USES[name])

"""What a family is, read from where it is written: the docstrings of its module and its function."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


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


def describe(builder: Callable[..., Any]) -> Description:
    """Returns the words of a family: its paper from the module, the rest from its function."""
    first = (sys.modules[builder.__module__].__doc__ or "").strip().splitlines()[0]
    title, _, paper = first.partition(". ")
    body, _, arguments = inspect.cleandoc(builder.__doc__ or "").partition("\nArgs:\n")
    text, _, use = body.partition("\nUsed for: ")
    options: dict[str, str] = {}
    for line in arguments.splitlines():
        match = re.match(r"^    (\w+): (.*)$", line)
        if match:
            options[match[1]] = match[2]
        elif line.startswith("        ") and options:
            options[list(options)[-1]] += " " + line.strip()
    return Description(title, paper.rstrip("."), text.strip(), options, " ".join(use.split()))

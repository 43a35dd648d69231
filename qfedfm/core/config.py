"""The base of every configuration, and how a wrong one is explained.

Each part keeps its configuration beside its class, as a subclass of :class:`Config`; unions of them
are told apart by their ``kind``. Nothing here, and nothing in a module that defines a configuration,
may import torch, transformers, PennyLane or Qiskit at import time: a wrong file is refused before
anything heavy is loaded.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """A frozen set of options: unknown keys, NaN and infinities are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)

    def plain(self) -> dict[str, Any]:
        """Returns the options as YAML-ready builtins, every default written out."""
        return self.model_dump(mode="json")


def nearest(name: str, valid: Iterable[str]) -> str:
    """Returns `` (did you mean 'x'?)`` for the closest valid name, else the list of valid names."""
    names = sorted(set(valid))
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f" (did you mean {close[0]!r}?)"
    return f" (valid: {', '.join(names)})" if names else ""

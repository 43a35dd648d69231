"""Local parts: some tensors stay with each client. As in FedBN, Li et al., 2021, arXiv:2102.07623.

Also FedPer (a personal head: ``["head/*"]``; Arivazhagan et al., 2019, arXiv:1912.00818).
"""

from __future__ import annotations

import fnmatch
from typing import Annotated, Literal

from pydantic import Field

from qfedfm.federation.algorithms.base import Algorithm


class LocalParts(Algorithm):
    """Plain training, in which the named tensors are never sent.

    Args:
        names: Patterns of tensor names, for example ``head/*`` or ``*.lora_B``.
    """

    kind: Literal["local_parts"] = "local_parts"
    names: Annotated[tuple[str, ...], Field(min_length=1)] = ("head/*",)

    def keeps(self, name: str) -> bool:
        """Returns whether a pattern matches ``name``."""
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self.names)

"""How a server learns only the sum of the clients' updates, one protocol a file.

:mod:`qfedfm.security.summation.protocol` says what a protocol is. ``SumConfig`` is the union that the
experiment file's ``security.sum`` is read as, told apart by ``kind``; a new protocol is one file and one name
here. No module of this room imports torch.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from qfedfm.security.summation.ckks import Ckks
from qfedfm.security.summation.ghz_phase import GhzPhase
from qfedfm.security.summation.masks import Masks
from qfedfm.security.summation.plain import Plain
from qfedfm.security.summation.protocol import (
    Cost,
    Job,
    Promise,
    Sum,
    SumAbortedError,
    SumClient,
    Summation,
    SumProtocol,
    SumServer,
    run_sum,
)
from qfedfm.security.summation.qft_sum import QftSum

SumConfig = Annotated[Plain | Masks | Ckks | GhzPhase | QftSum, Field(discriminator="kind")]

__all__ = [
    "Ckks",
    "Cost",
    "GhzPhase",
    "Job",
    "Masks",
    "Plain",
    "Promise",
    "QftSum",
    "Sum",
    "SumAbortedError",
    "SumClient",
    "SumConfig",
    "SumProtocol",
    "SumServer",
    "Summation",
    "run_sum",
]

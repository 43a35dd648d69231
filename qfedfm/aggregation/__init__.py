"""Floor 4: rules from updates to the next global model, one file a method.

An aggregator is a frozen configuration with two pure functions: ``init(model) -> state`` and
``combine(state, cohort) -> (combined, state)``. It declares what it ``sees``: ``"sum"`` if a weighted
sum of the updates is all it needs, else ``"individuals"``; behind a protocol that reveals only a sum,
one that needs individuals is refused when the plan is built. :mod:`qfedfm.aggregation.certificate` says
how exact a round was.

Notation: client k of K, weight p_k = n_k/Σn, LoRA product ΔW_k = s·B_k A_k with s = alpha/rank.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from qfedfm.aggregation.best_rank import BestRank
from qfedfm.aggregation.cohort import Cohort, Combined
from qfedfm.aggregation.cosine import Cosine
from qfedfm.aggregation.fedavg import FedAvg
from qfedfm.aggregation.fedex_lora import FedExLora
from qfedfm.aggregation.fedit import FedIT
from qfedfm.aggregation.fedsa_lora import FedSALora
from qfedfm.aggregation.fedsvd import FedSVD
from qfedfm.aggregation.ffa_lora import FFALora
from qfedfm.aggregation.flexlora import FlexLora
from qfedfm.aggregation.flora import FLora
from qfedfm.aggregation.hadamard_test import HadamardTest
from qfedfm.aggregation.hetlora import HetLora
from qfedfm.aggregation.lora_fair import LoraFair
from qfedfm.aggregation.multi_krum import MultiKrum
from qfedfm.aggregation.qubo_subset import QuboSubset
from qfedfm.aggregation.rolora import RoLora
from qfedfm.aggregation.rule import Rule
from qfedfm.aggregation.soup import ModelSoup
from qfedfm.aggregation.swap_test import SwapTest

AggregationConfig = Annotated[
    FedAvg
    | FedIT
    | FFALora
    | RoLora
    | FLora
    | FlexLora
    | HetLora
    | FedExLora
    | FedSVD
    | LoraFair
    | FedSALora
    | BestRank
    | ModelSoup
    | Cosine
    | SwapTest
    | HadamardTest
    | MultiKrum
    | QuboSubset,
    Field(discriminator="kind"),
]

__all__ = [
    "AggregationConfig",
    "BestRank",
    "Cohort",
    "Combined",
    "Cosine",
    "FFALora",
    "FLora",
    "FedAvg",
    "FedExLora",
    "FedIT",
    "FedSALora",
    "FedSVD",
    "FlexLora",
    "HadamardTest",
    "HetLora",
    "LoraFair",
    "ModelSoup",
    "MultiKrum",
    "QuboSubset",
    "RoLora",
    "Rule",
    "SwapTest",
]

"""Heads: what is trained on top of the pooled features, one file per kind."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from qfedfm.models.heads.frozen_quantum import FrozenQuantumConfig
from qfedfm.models.heads.head import Head
from qfedfm.models.heads.linear import LinearConfig
from qfedfm.models.heads.matched_mlp import MatchedMlpConfig
from qfedfm.models.heads.mlp import MlpConfig
from qfedfm.models.heads.quantum import QuantumConfig
from qfedfm.models.heads.random_features import RandomFeaturesConfig
from qfedfm.models.heads.unentangled import UnentangledConfig

HeadConfig = Annotated[
    LinearConfig
    | MlpConfig
    | QuantumConfig
    | MatchedMlpConfig
    | FrozenQuantumConfig
    | UnentangledConfig
    | RandomFeaturesConfig,
    Field(discriminator="kind"),
]

TRAINED_CIRCUITS = ("quantum", "unentangled")
"""The heads whose circuit has trained weights."""

CIRCUITS = (*TRAINED_CIRCUITS, "frozen_quantum")
"""The heads with a circuit."""

__all__ = [
    "CIRCUITS",
    "TRAINED_CIRCUITS",
    "FrozenQuantumConfig",
    "Head",
    "HeadConfig",
    "LinearConfig",
    "MatchedMlpConfig",
    "MlpConfig",
    "QuantumConfig",
    "RandomFeaturesConfig",
    "UnentangledConfig",
]

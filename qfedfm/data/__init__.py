"""Floor 1: where samples come from and which client holds them.

``load(DataConfig(...), streams)`` reads a source, holds out test data and divides the rest among clients.
Importing this package loads nothing heavy; a source imports what it needs when it is read.
"""

from __future__ import annotations

from qfedfm.data.config import DataConfig, FeaturesConfig
from qfedfm.data.federated import ClientIndex, Duplicates, FederatedData
from qfedfm.data.labels import read_labelled
from qfedfm.data.load import load
from qfedfm.data.own import own_data
from qfedfm.data.partition import (
    ColumnPartition,
    DirichletPartition,
    IidPartition,
    MachinesPartition,
    PartitionConfig,
    QuantityPartition,
    ShardsPartition,
)

__all__ = [
    "ClientIndex",
    "ColumnPartition",
    "DataConfig",
    "DirichletPartition",
    "Duplicates",
    "FeaturesConfig",
    "FederatedData",
    "IidPartition",
    "MachinesPartition",
    "PartitionConfig",
    "QuantityPartition",
    "ShardsPartition",
    "load",
    "own_data",
    "read_labelled",
]

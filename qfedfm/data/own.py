"""The data of one client on its own machine, in the classes that the server names."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from qfedfm.core.errors import RequestError
from qfedfm.data.config import DataConfig
from qfedfm.data.federated import ClientIndex, FederatedData
from qfedfm.data.files import read_table
from qfedfm.data.labels import labelled, ordered_labels

_logger = logging.getLogger(__name__)


def own_data(config: DataConfig, path: str | Path, label_names: Sequence[str]) -> FederatedData:
    """Reads a client's own file; all of it is training data of one client.

    Args:
        config: The experiment's section: which columns, which header.
        path: A .csv, .tsv, .jsonl or .parquet file.
        label_names: The classes, as the server has them.

    Raises:
        RequestError: The file cannot be read, or has a label that the server does not know.
    """
    table = read_table(path, [*config.text_columns, config.label], config.header)
    texts, names, warnings = labelled(table, config.text_columns, config.label)
    unknown = ordered_labels(set(names) - set(label_names))
    if unknown:
        raise RequestError(
            f"{path}: the label {unknown[0]!r} in column {config.label!r} is not one of the federation's "
            f"({', '.join(map(repr, label_names[:10]))}); correct it, or have the server's data name it"
        )
    for sentence in warnings:
        _logger.warning("%s", sentence)
    index = {name: i for i, name in enumerate(label_names)}
    everything = np.arange(len(texts))
    return FederatedData(
        modality="text",
        inputs=texts,
        labels=np.array([index[name] for name in names], dtype=np.int64),
        label_names=tuple(label_names),
        clients=ClientIndex.of(np.zeros(len(texts), dtype=np.int64), 1, everything),
        test=np.zeros(0, dtype=np.int64),
        public=np.zeros(0, dtype=np.int64),
        fingerprint="",
        warnings=warnings,
    )

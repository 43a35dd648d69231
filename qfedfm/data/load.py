"""From the ``data`` section of an experiment to data divided among clients.

All sources follow one path: read samples, group identical ones, hold out test data by group so that no
text stands on both sides, divide the rest among clients, let each hold out a validation part.

Identical means the same text up to white space and case, or the same image to the bit. When test data is
a file (or a split) of its own it stays complete, and training samples identical to a test sample are
removed instead, with a warning.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from qfedfm.core.config import nearest
from qfedfm.core.errors import RequestError
from qfedfm.core.random import Streams
from qfedfm.data.config import DataConfig
from qfedfm.data.federated import ClientIndex, Duplicates, FederatedData
from qfedfm.data.files import read_table
from qfedfm.data.labels import check_labels, labelled, ordered_labels, unseen_sentence
from qfedfm.data.partition import ColumnPartition, MachinesPartition, assign, owners_of
from qfedfm.data.samples import Samples

_logger = logging.getLogger(__name__)
Ints = NDArray[np.int64]

PUBLIC_FRACTION = 0.3
"""Part of ``digits`` that no client holds and that is not tested on: for pretraining by the server."""


def load(config: DataConfig, streams: Streams) -> FederatedData:
    """Reads the data and divides it among clients.

    Args:
        config: The ``data`` section.
        streams: Everything is drawn from these; the same seed gives the same bits.

    Raises:
        RequestError: The data cannot be had or divided as the section says.
    """
    samples = _source(config, streams)
    if isinstance(config.partition, MachinesPartition) and samples.modality != "text":
        raise RequestError(
            f"data.partition: machines hold texts of their own, and the source {config.source!r} is "
            f"{samples.modality}; use a file of texts, or another partition to rehearse with"
        )
    groups = _groups(samples)
    warnings = list(samples.warnings)
    test, public = _held_out(config, samples, groups, streams)
    rest = ~test & ~public
    clash = rest & np.isin(groups, groups[test | public])
    if clash.any():  # only with test data of its own: a part held out is held out by group
        warnings.append(
            f"{int(clash.sum())} training samples are identical to a test sample and were left out"
        )
        rest &= ~clash
    train = np.flatnonzero(rest)
    machines = isinstance(config.partition, MachinesPartition)
    if not len(train) and not machines:
        raise RequestError(
            f"data: nothing is left to train on in {config.source!r} after the test data is set aside"
        )

    seen = set(np.asarray(samples.names, dtype=object)[np.flatnonzero(test) if machines else train].tolist())
    label_names = ordered_labels(seen)
    unknown = ordered_labels(set(samples.names) - seen)
    if len(seen) < 2:
        check_labels([label_names[0]], config.source, config.label)
    in_test = [samples.names[i] for i in np.flatnonzero(test).tolist()]
    if set(unknown) & set(in_test):
        warnings.append(unseen_sentence(in_test, unknown))
    index = {name: i for i, name in enumerate([*label_names, *unknown])}
    labels = np.array([index[name] for name in samples.names], dtype=np.int64)

    clients, sentences = _divide(config, samples, train, labels, len(index), streams)
    warnings += sentences
    for sentence in warnings:
        _logger.warning("%s", sentence)
    data = FederatedData(
        modality=samples.modality,
        inputs=samples.inputs,
        labels=labels,
        label_names=tuple(index),
        clients=clients,
        test=np.flatnonzero(test),
        public=np.flatnonzero(public),
        fingerprint="",
        duplicates=Duplicates() if samples.unique else Duplicates.between(groups, clients),
        warnings=tuple(warnings),
    )
    return replace(data, fingerprint=_fingerprint(data, samples.digest))


# Sources -------------------------------------------------------------------------------------------


def _source(config: DataConfig, streams: Streams) -> Samples:
    if config.source == "docstrings":
        return _docstrings()
    if config.source == "features":
        return _features(config, streams)
    if config.source == "digits":
        return _digits()
    if config.source.startswith("hf:"):
        from qfedfm.data.hub import hub

        return hub(config)
    return _files(config)


def _docstrings() -> Samples:
    from qfedfm.data.docstrings import docstrings

    entries = docstrings()
    return Samples(
        modality="text",
        inputs=[entry.text for entry in entries],
        names=[entry.label for entry in entries],
        columns={"package": [entry.package for entry in entries]},
    )


def _files(config: DataConfig) -> Samples:
    owner = (config.partition.column,) if isinstance(config.partition, ColumnPartition) else ()
    table = read_table(config.source, [*config.text_columns, config.label, *owner], config.header)
    texts, names, warnings = labelled(table, config.text_columns, config.label)
    check_labels(names, config.source, config.label)
    columns: dict[str, Sequence[str]] = {c: [str(value) for value in table.columns[c]] for c in owner}
    test: NDArray[np.bool_] | None = None
    if config.test is not None:
        second = read_table(config.test, [*config.text_columns, config.label], config.header)
        more_texts, more_names, more_warnings = labelled(second, config.text_columns, config.label)
        test = np.arange(len(texts) + len(more_texts)) >= len(texts)
        texts, names, warnings = texts + more_texts, names + more_names, warnings + more_warnings
        columns = {c: [*values, *([""] * len(more_texts))] for c, values in columns.items()}
    return Samples("text", texts, names, columns, test, warnings=warnings)


def _digits() -> Samples:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = (bunch.images / 16.0).astype(np.float32)
    return Samples("image", images, [str(label) for label in bunch.target.tolist()], public=PUBLIC_FRACTION)


def _features(config: DataConfig, streams: Streams) -> Samples:
    from qfedfm.data.features import features

    if isinstance(config.partition, ColumnPartition):
        raise RequestError(
            "data.partition: source 'features' has no columns; use iid, dirichlet, shards or quantity"
        )
    tests = config.features.test_samples
    total = config.partition.clients * config.features.samples + tests
    inputs, labels, digest = features(config.features, total, streams.at("features"))
    test = np.arange(total) >= total - tests
    return Samples(
        "features", inputs, [str(i) for i in labels.tolist()], test=test, digest=digest, unique=True
    )


# Dividing ------------------------------------------------------------------------------------------


def _groups(samples: Samples) -> Ints:
    """Numbers the samples so that identical ones have the same number, shape (samples,)."""
    if samples.unique:
        return np.arange(len(samples.names))
    seen: dict[object, int] = {}
    if isinstance(samples.inputs, np.ndarray):
        keys: list[object] = [row.tobytes() for row in samples.inputs]
    else:
        keys = [" ".join(text.split()).casefold() for text in samples.inputs]
    return np.array([seen.setdefault(key, len(seen)) for key in keys], dtype=np.int64)


def _held_out(
    config: DataConfig, samples: Samples, groups: Ints, streams: Streams
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Returns which samples are test data and which are public, both by whole groups and by label."""
    none = np.zeros(len(groups), dtype=np.bool_)
    public = none
    if samples.public:
        public = _draw(samples, groups, ~none, samples.public, streams("public"))
    if isinstance(config.partition, MachinesPartition):
        return ~none, none
    if samples.test is not None:
        return samples.test & ~public, public
    return _draw(samples, groups, ~public, config.test_fraction, streams("test")), public


def _draw(
    samples: Samples, groups: Ints, among: NDArray[np.bool_], fraction: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Draws a fraction of the groups of each label (that of the group's first sample); never all of it."""
    where = np.flatnonzero(among)
    members, first = np.unique(groups[where], return_index=True)
    code = {name: i for i, name in enumerate(ordered_labels(set(samples.names)))}
    codes = np.array([code[samples.names[i]] for i in where[first].tolist()], dtype=np.int64)
    by_label = np.split(members[np.argsort(codes, kind="stable")], np.cumsum(np.bincount(codes))[:-1])
    drawn: list[Ints] = []
    for of_label in by_label:
        count = min(round(fraction * len(of_label)), max(0, len(of_label) - 1))
        drawn.append(rng.permutation(of_label)[:count])
    chosen = np.concatenate(drawn)
    if not len(chosen):
        raise RequestError(
            f"data.test_fraction: {fraction} of {len(members)} different samples leaves no test data; "
            "give more data or a larger fraction"
        )
    return among & np.isin(groups, chosen)


def _divide(
    config: DataConfig, samples: Samples, train: Ints, labels: Ints, classes: int, streams: Streams
) -> tuple[ClientIndex, list[str]]:
    partition = config.partition
    rng = streams("partition")
    names: list[str] = []
    warnings: list[str] = []
    if isinstance(partition, MachinesPartition):
        empty = np.zeros(0, dtype=np.int64)
        return ClientIndex.of(empty, partition.clients, empty), warnings
    if isinstance(partition, ColumnPartition):
        if partition.column not in samples.columns:
            present = sorted(samples.columns)
            what = nearest(partition.column, present) if present else "; it has no columns"
            raise RequestError(
                f"data.partition.column: source {config.source!r} has no column {partition.column!r}{what}"
            )
        values = np.asarray(samples.columns[partition.column], dtype=np.str_)[train]
        owners, names, small = owners_of(partition, values, rng)
        if small:
            warnings.append(
                f"{small} owners in column {partition.column!r} hold fewer than {partition.min_samples} "
                f"training samples and take no part"
            )
    else:
        owners = assign(partition, labels[train], classes, rng)
    count = int(owners.max()) + 1 if names == [] else len(names)
    index = ClientIndex.of(
        owners, count, train, config.validation_fraction, streams("validation"), tuple(names)
    )
    return index, warnings


def _fingerprint(data: FederatedData, digest: str) -> str:
    """Returns the SHA-256 of the content and of the division."""
    total = hashlib.sha256(f"{data.modality}\0{digest}\0".encode())

    def add(content: bytes) -> None:
        total.update(len(content).to_bytes(8, "little"))
        total.update(content)

    if isinstance(data.inputs, np.ndarray):
        add(repr((data.inputs.shape, data.inputs.dtype.str)).encode())
        if not digest:
            add(np.ascontiguousarray(data.inputs).tobytes())
    else:
        for text in data.inputs:
            add(text.encode("utf-8", "surrogatepass"))
    for name in data.label_names:
        add(name.encode("utf-8", "surrogatepass"))
    clients = data.clients
    for array in (
        data.labels, clients.train_indices, clients.train_offsets, clients.validation_indices,
        clients.validation_offsets, data.test, data.public,
    ):  # fmt: skip
        add(array.astype("<i8").tobytes())
    return total.hexdigest()

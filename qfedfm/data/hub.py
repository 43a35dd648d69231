"""The source ``hf:<dataset>[:<config>]``: a data set of the Hugging Face hub, or a local folder of one.

Test data is the split ``test`` where its labels are public, else ``validation``, else a part of the
training split is held out. Nothing but data files is read: data sets that come as scripts are refused by
the ``datasets`` library. Without network a data set that was downloaded before is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from qfedfm.core.config import nearest
from qfedfm.core.errors import RequestError
from qfedfm.data.config import DataConfig
from qfedfm.data.files import Table
from qfedfm.data.labels import check_labels, labelled
from qfedfm.data.partition import ColumnPartition
from qfedfm.data.samples import Samples

_TIMEOUT_SECONDS = 10.0


def hub(config: DataConfig) -> Samples:
    """Reads a data set.

    Raises:
        RequestError: It is unknown, cannot be reached, or has no such column or configuration.
    """
    name, _, variant = config.source.removeprefix("hf:").partition(":")
    splits = _splits(name.strip(), variant.strip() or None)
    train_name = "train" if "train" in splits else next(iter(splits))
    owner = (config.partition.column,) if isinstance(config.partition, ColumnPartition) else ()
    needed = (*config.text_columns, config.label, *owner)
    train = _table(config.source, train_name, splits[train_name], needed, config.label)
    texts, names, warnings = labelled(train, config.text_columns, config.label)
    check_labels(names, config.source, config.label)
    columns = {column: [str(value) for value in train.columns[column]] for column in owner}
    for test_name in ("test", "validation"):
        if test_name not in splits or test_name == train_name:
            continue
        own = (*config.text_columns, config.label)
        held = _table(config.source, test_name, splits[test_name], own, config.label)
        if not len(held) or all(value is None for value in held.columns[config.label]):
            continue  # the hub's benchmarks keep the labels of their test split to themselves
        more_texts, more_names, more_warnings = labelled(held, config.text_columns, config.label)
        return Samples(
            modality="text",
            inputs=texts + more_texts,
            names=names + more_names,
            columns={column: [*values, *([""] * len(more_texts))] for column, values in columns.items()},
            test=np.arange(len(texts) + len(more_texts)) >= len(texts),
            warnings=warnings + more_warnings,
        )
    return Samples("text", texts, names, dict(columns), warnings=warnings)


def _splits(name: str, variant: str | None) -> dict[str, Any]:
    try:
        import datasets
    except ImportError:
        raise RequestError(
            f"data.source: 'hf:{name}' needs the package datasets; install it with: pip install 'qfedfm[hub]'"
        ) from None
    folder = Path(name)
    try:
        if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
            loaded = datasets.load_from_disk(name)
        elif folder.is_dir():
            loaded = datasets.load_dataset(name, variant)
        else:
            with _offline_if(not _reachable(name)):
                loaded = datasets.load_dataset(name, variant)
    except RequestError:
        raise
    except Exception as error:  # the library raises many kinds, all of them about the request
        reason = " ".join(str(error).split())
        reason = reason if len(reason) <= 300 else f"{reason[:300]} ..."
        raise RequestError(
            f"data.source: the data set 'hf:{name}{':' + variant if variant else ''}' cannot be loaded "
            f"({reason.rstrip('.')}); check its name and the network, or give a local folder or file"
        ) from None
    splits = dict(loaded) if isinstance(loaded, dict) else {"train": loaded}
    if not splits:
        raise RequestError(f"data.source: the data set 'hf:{name}' holds no data")
    return splits


def _reachable(name: str) -> bool:
    """Asks the hub once, so that a missing network is known at once and not after many attempts."""
    import huggingface_hub
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    try:
        huggingface_hub.HfApi().dataset_info(name, timeout=_TIMEOUT_SECONDS)
    except (RepositoryNotFoundError, HFValidationError):
        raise RequestError(
            f"data.source: the hub has no data set {name!r} (or it is private), and there is "
            "no such local folder"
        ) from None
    except Exception:  # no network, a proxy, the hub is down: what was downloaded before may serve
        return False
    return True


@contextmanager
def _offline_if(offline: bool) -> Iterator[None]:
    import datasets
    import huggingface_hub.constants

    before = datasets.config.HF_HUB_OFFLINE, huggingface_hub.constants.HF_HUB_OFFLINE
    if offline:
        datasets.config.HF_HUB_OFFLINE = huggingface_hub.constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE, huggingface_hub.constants.HF_HUB_OFFLINE = before


def _table(source: str, split_name: str, split: Any, needed: tuple[str, ...], label: str) -> Table:
    name = f"{source} ({split_name})"
    for column in needed:
        if column not in split.column_names:
            raise RequestError(f"{name} has no column {column!r}{nearest(column, split.column_names)}")
    columns = {column: list(split[column]) for column in needed}
    names = getattr(split.features[label], "names", None)
    if names is not None:  # class labels are stored as numbers, and -1 where they are withheld
        columns[label] = [None if value is None or value < 0 else names[value] for value in columns[label]]
    return Table(name, columns, range(1, split.num_rows + 1))

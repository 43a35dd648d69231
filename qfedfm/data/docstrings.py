"""The source ``docstrings``: real English prose about mathematics and computing, always at hand.

The summary and prose of the public functions, classes and methods of the installed scientific
packages, labelled by their field. The packages' source files are parsed, never imported: the texts
depend on the installed versions alone, not on what else is loaded, on import order or on hash seeds.
What gives the label away is removed (:mod:`qfedfm.data.prose`), and so are repeated texts. The result
is cached as JSON lines, keyed by the versions of the packages and of this extraction.
"""

from __future__ import annotations

import gc
import hashlib
import importlib.metadata
import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from qfedfm.core.errors import RunError
from qfedfm.core.files import cache_folder, write_atomic
from qfedfm.data.documented import documented
from qfedfm.data.fields import FIELDS
from qfedfm.data.prose import clean, shingles, strip_names

EXTRACTION_VERSION = 3
"""Raised whenever the same packages would give other texts."""

MOST_PER_FIELD = 400
LEAST_WORDS, MOST_WORDS = 12, 100
MOST_REMOVED = 0.35
"""A text that loses a larger part of its words with the names is no longer prose."""
NEAR_IDENTICAL = 0.6
"""Jaccard similarity of word triples from which two texts count as one."""


class Entry(NamedTuple):
    """One text, where it comes from and what it is about."""

    text: str
    label: str
    package: str


def docstrings(cache: Path | None = None) -> list[Entry]:
    """Returns the texts, sorted by label and name.

    Args:
        cache: Folder of the cache, by default ``cache_folder("docstrings")``.

    Raises:
        RunError: A package of the base installation is missing.
    """
    folder = cache if cache is not None else cache_folder("docstrings")
    path = folder / f"{_key()}.jsonl"
    if path.is_file():
        entries = _read(path)
        if entries is not None:
            return entries
    entries = extract()
    lines = [json.dumps(entry._asdict(), ensure_ascii=False) for entry in entries]
    body = "\n".join(lines) + "\n"
    write_atomic(path, json.dumps({"sha256": _digest(body), "texts": len(lines)}) + "\n" + body)
    return entries


def extract() -> list[Entry]:
    """Parses the installed packages and returns the texts, without looking at the cache."""
    with _no_collection():
        return _extract()


@contextmanager
def _no_collection() -> Iterator[None]:
    """Suspends the search for reference cycles: syntax trees have none, and it takes longer than parsing."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _extract() -> list[Entry]:
    found: list[tuple[str, str, str]] = []  # label, name, text
    for label in sorted(FIELDS):
        for module in FIELDS[label]:
            for item in sorted(documented(module), key=lambda item: item.name):
                prose = clean(item.doc)
                text = strip_names(prose, item.name, label)
                words = text.split()
                if len(words) < (1 - MOST_REMOVED) * len(prose.split()):
                    continue
                if len(words) > MOST_WORDS:
                    text = " ".join(words[:MOST_WORDS])
                if len(words) >= LEAST_WORDS:
                    found.append((label, item.name, text))
    kept = _distinct([text for _, _, text in found], [label for label, _, _ in found])
    chosen: list[tuple[str, str, str]] = []
    by_label: defaultdict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for i in kept:
        by_label[found[i][0]].append(found[i])
    for label in sorted(by_label):  # which texts stay is decided by their hash: no package is preferred
        ranked = sorted(by_label[label], key=lambda item: (_digest(item[2]), item[1]))
        chosen += ranked[:MOST_PER_FIELD]
    chosen.sort()
    return [Entry(text, label, name.split(".", 1)[0]) for label, name, text in chosen]


def _key() -> str:
    packages = sorted({module.split(".")[0] for modules in FIELDS.values() for module in modules})
    try:
        versions = [
            f"{package}=={importlib.metadata.version(_distribution(package))}" for package in packages
        ]
    except importlib.metadata.PackageNotFoundError as error:
        raise RunError(
            f"the source 'docstrings' needs the package {error.name}, which is not installed"
        ) from None
    return _digest("\n".join([f"extraction {EXTRACTION_VERSION}", *versions]))[:16]


def _distribution(package: str) -> str:
    return {"sklearn": "scikit-learn"}.get(package, package)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _read(path: Path) -> list[Entry] | None:
    """Returns the cached texts, or None when the file is damaged."""
    try:
        head, _, body = path.read_bytes().decode("utf-8").partition("\n")
        if json.loads(head)["sha256"] != _digest(body):
            return None
        return [Entry(**json.loads(line)) for line in body.rstrip("\n").split("\n")]
    except (ValueError, KeyError, TypeError):
        return None


def _distinct(texts: list[str], labels: list[str]) -> list[int]:
    """Returns the indices of texts that are not (nearly) an earlier one, nor the same in two fields."""
    from scipy.sparse import csr_array

    vocabulary: dict[tuple[str, ...], int] = {}
    rows = [sorted({vocabulary.setdefault(s, len(vocabulary)) for s in shingles(text)}) for text in texts]
    counts = np.array([len(row) for row in rows], dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    columns = np.array([column for row in rows for column in row], dtype=np.int64)
    incidence = csr_array(
        (np.ones(len(columns), np.int32), columns, offsets), shape=(len(rows), len(vocabulary))
    )
    shared = (incidence @ incidence.T).tocoo()
    first, second = shared.coords
    similar = (shared.data >= NEAR_IDENTICAL * (counts[first] + counts[second] - shared.data)) & (
        first != second
    )
    neighbours: defaultdict[int, list[int]] = defaultdict(list)
    for a, b in zip(first[similar].tolist(), second[similar].tolist(), strict=True):
        neighbours[a].append(b)
    kept: list[int] = []
    dropped: set[int] = set()
    for i in range(len(texts)):
        if i in dropped:
            continue
        dropped.update(j for j in neighbours[i] if j > i)
        if all(labels[j] == labels[i] for j in neighbours[i]):  # else its field is ambiguous
            kept.append(i)
    return kept

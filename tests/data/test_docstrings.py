"""The source that needs nothing: prose of the installed packages, clean, distinct, always the same."""

import json
import os
import re
import subprocess
import sys
from collections import Counter

import pytest

from qfedfm.core.random import Streams
from qfedfm.data import DataConfig, load
from qfedfm.data import docstrings as source
from qfedfm.data.docstrings import docstrings
from qfedfm.data.documented import documented
from qfedfm.data.fields import FIELDS, LABEL_WORDS, PACKAGE_NAMES
from qfedfm.data.prose import clean, shingles, strip_names


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cache") / "docstrings"


@pytest.fixture(scope="module")
def entries(folder):
    return docstrings(folder)


def test_enough_texts_of_enough_fields(entries):
    counts = Counter(entry.label for entry in entries)
    assert len(entries) >= 4000 and len(counts) >= 12 and set(counts) == set(FIELDS)
    assert min(counts.values()) >= 80 and max(counts.values()) / len(entries) < 0.12
    assert entries == sorted(entries, key=lambda entry: entry.label)
    assert len({entry.package for entry in entries}) >= 7


def test_nothing_gives_the_label_away(entries):
    banned = set(PACKAGE_NAMES).union(*LABEL_WORDS.values())
    for entry in entries:
        words = {word.lower() for word in re.findall(r"[A-Za-z']+", entry.text)}
        assert not words & banned, entry
    assert not any(re.search(r">>>|:\w+:`|``|\w_\w|\bhttps?:", entry.text) for entry in entries)


def test_texts_are_prose_of_a_readable_length(entries):
    lengths = [len(entry.text.split()) for entry in entries]
    assert min(lengths) >= 12 and max(lengths) <= 100 and sorted(lengths)[len(lengths) // 2] >= 15
    assert all("  " not in e.text and "\n" not in e.text and e.text == e.text.strip() for e in entries)


def test_no_text_twice(entries):
    normal = [" ".join(re.findall("[a-z]+", entry.text.lower())) for entry in entries]
    assert len(set(normal)) == len(normal)


def test_a_second_reading_comes_from_the_cache_and_a_damaged_cache_is_made_again(
    entries, folder, monkeypatch
):
    (path,) = folder.iterdir()
    monkeypatch.setattr(source, "extract", lambda: pytest.fail("parsed again"))
    assert docstrings(folder) == entries
    content = path.read_text()
    assert json.loads(content.split("\n", 2)[1]).keys() == {"text", "label", "package"}
    path.write_text(content.replace("the", "teh", 1))
    monkeypatch.setattr(source, "extract", lambda: entries)
    assert docstrings(folder) == entries and path.read_text() == content


def test_other_versions_are_another_cache(monkeypatch):
    before = source._key()
    monkeypatch.setattr(source.importlib.metadata, "version", lambda name: "0")
    assert source._key() != before


def test_packages_are_natural_owners(entries, folder, monkeypatch):
    monkeypatch.setenv("QFEDFM_CACHE", str(folder.parent))
    monkeypatch.setattr(source, "extract", lambda: pytest.fail("parsed again"))
    data = load(DataConfig(partition={"kind": "column", "column": "package"}), Streams(0))
    assert {"networkx", "numpy", "scipy", "sympy", "torch"} <= set(data.clients.names)
    assert data.classes == len(FIELDS) and len(data.inputs) == len(entries)
    assert load(DataConfig(), Streams(0)).majority_accuracy() < 0.12


@pytest.mark.slow
def test_the_texts_depend_on_nothing_but_the_packages(entries, tmp_path):
    code = (
        "import sys, networkx, sklearn.linear_model; from pathlib import Path; "
        "from qfedfm.data.docstrings import docstrings; docstrings(Path(sys.argv[1]))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "5"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, env=environment)
    assert docstrings(tmp_path) == entries


@pytest.mark.slow
def test_packages_are_parsed_and_not_imported(tmp_path):
    code = (
        "import sys; from pathlib import Path; from qfedfm.data.docstrings import docstrings; "
        "docstrings(Path(sys.argv[1])); print(*{m.split('.')[0] for m in sys.modules})"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True, text=True
    )
    assert not {"torch", "sklearn", "networkx", "sympy", "pandas", "matplotlib"} & set(run.stdout.split())


DOC = """linalg.solve(a, b) -> Tensor

    Solve a :func:`linear <numpy.foo>` system ``A x = b`` of [1]_ ``size`` :math:`n`.

    .. versionadded:: 1.2
       Not before.

    It uses `LU <https://lu.org>`_ with *partial*
    pivoting::

        code(here)

    and is stable. See https://example.org/x for more.

    Parameters
    ----------
    a : array
        Secret.
    """


def test_cleaning():
    assert (
        clean(DOC)
        == "Solve a linear system A x = b of size . It uses LU with partial pivoting: and is stable. "
        "See for more."
    )
    assert clean("Title\n=====\n\nWords.\n\nArgs:\n    x: no") == "Words."
    assert clean("Words.\n\n>>> 1 + 1\n2") == "Words."
    assert clean("Words.\n:param x: no") == "Words."
    assert clean("Examples\n--------\nNothing else.") == "Nothing else."


def test_stripping_names():
    stripped = strip_names(
        "Read more in the User Guide. The solve of NumPy arrays, np.dot and DataFrame's linear-phase "
        "some_name is a non-linear statistic (array). See x for details.",
        "numpy.linalg._linalg.solve",
        "linear algebra",
    )
    assert stripped == "The of, and phase is a non."


def test_shingles_ignore_numbers_and_case():
    assert shingles("Returns the 3 first Items") == shingles("returns the first items 4")
    assert shingles("one") == {("one",)}


def test_public_is_what_the_package_exports():
    names = {item.name for item in documented("scipy.linalg")}
    assert "scipy.linalg._basic.solve" in names
    assert not any(part.startswith("_") for name in names for part in name.split(".")[3:])
    assert {item.name for item in documented("torch._torch_docs")} >= {"torch._torch_docs.abs"}
    assert list(documented("numpy.no_such_module")) == []

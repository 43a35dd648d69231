"""From a section of the experiment file to divided data: every source on the same path."""

import hashlib
import json
import logging
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qfedfm.core.errors import RequestError
from qfedfm.core.random import Streams
from qfedfm.data import ClientIndex, DataConfig, FederatedData, load
from qfedfm.data.features import features

STREAMS = Streams(11)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("QFEDFM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write_rows(path, rows):
    path.write_text("".join(json.dumps({"text": t, "label": y, "who": w}) + "\n" for t, y, w in rows))
    return str(path)


def simple_rows(count=200, labels=("neg", "pos")):
    return [(f"text number {i}", labels[i % len(labels)], f"owner{i % 5}") for i in range(count)]


def parts(data):
    held = [data.clients.train_indices, data.clients.validation_indices]
    return [np.concatenate(held), data.test, data.public]


def test_a_file(tmp_path):
    source = write_rows(tmp_path / "a.jsonl", simple_rows())
    config = DataConfig(source=source, validation_fraction=0.25, partition={"kind": "iid", "clients": 4})
    data = load(config, STREAMS)
    assert (data.modality, data.label_names, data.classes) == ("text", ("neg", "pos"), 2)
    assert len(data.test) == 40 and data.labels[data.test].mean() == 0.5
    assert data.clients.sizes.tolist() == [30] * 4 and data.clients.validation_sizes.tolist() == [10] * 4
    assert sorted(np.concatenate(parts(data)).tolist()) == list(range(200))
    assert data.warnings == () and data.duplicates.texts == 0
    assert data.majority_accuracy() == 0.5


def test_a_seed_gives_the_same_bits_and_the_fingerprint_knows_everything(tmp_path):
    rows = simple_rows()
    source = write_rows(tmp_path / "a.jsonl", rows)
    config = DataConfig(source=source)
    first, again, other = load(config, STREAMS), load(config, Streams(11)), load(config, Streams(12))
    np.testing.assert_array_equal(first.clients.train_indices, again.clients.train_indices)
    np.testing.assert_array_equal(first.test, again.test)
    assert first.fingerprint == again.fingerprint != other.fingerprint
    write_rows(tmp_path / "a.jsonl", [("changed", *rows[0][1:]), *rows[1:]])
    assert load(config, STREAMS).fingerprint != first.fingerprint


def test_columns_as_owners(tmp_path):
    source = write_rows(tmp_path / "a.jsonl", simple_rows())
    data = load(DataConfig(source=source, partition={"kind": "column", "column": "who"}), STREAMS)
    assert data.clients.names == tuple(f"owner{i}" for i in range(5))
    for k in range(5):
        assert {int(i) % 5 for i in data.clients.train(k)} == {k}
    with pytest.raises(RequestError, match=r"no column 'whom' \(did you mean 'who'\?\)"):
        load(DataConfig(source=source, partition={"kind": "column", "column": "whom"}), STREAMS)


def test_small_owners_are_left_out_with_a_warning(tmp_path, caplog):
    rows = [*simple_rows(), *((f"rare {i}", "pos", "rare") for i in range(3))]
    source = write_rows(tmp_path / "a.jsonl", rows)
    data = load(DataConfig(source=source, partition={"kind": "column", "column": "who"}), STREAMS)
    assert len(data.clients) == 5
    assert (
        "1 owners in column 'who' hold fewer than 8" in data.warnings[0] and data.warnings[0] in caplog.text
    )


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.booleans()), min_size=40, max_size=120),
    st.integers(0, 99),
)
def test_no_text_stands_on_both_sides(tmp_path_factory, drawn, seed):
    rows = [(letter + " " * int(space) + "word", "xy"[ord(letter) % 2], "") for letter, space in drawn]
    source = write_rows(tmp_path_factory.mktemp("data") / "a.jsonl", rows)
    config = DataConfig(
        source=source, test_fraction=0.4, partition={"kind": "iid", "clients": 2, "min_samples": 1}
    )
    try:
        data = load(config, Streams(seed))
    except RequestError:
        return  # too few different texts
    keys = ["".join(text.split()) for text in data.inputs]
    train, test, _ = parts(data)
    normal = [" ".join(text.split()) for text in data.inputs]
    assert not {normal[i] for i in train} & {normal[i] for i in data.test}
    assert len(train) + len(test) == len(keys)


def test_training_texts_identical_to_a_test_text_are_left_out(tmp_path, caplog):
    source = write_rows(tmp_path / "a.jsonl", simple_rows())
    test = write_rows(tmp_path / "b.jsonl", [("Text  NUMBER 3", "pos", ""), ("new", "neg", "")])
    data = load(DataConfig(source=source, test=test), STREAMS)
    assert len(data.test) == 2 and 3 not in data.clients.train_indices
    assert data.clients.sizes.sum() == 199
    assert "1 training samples are identical to a test sample" in data.warnings[0]


def test_a_label_that_training_never_saw_is_a_warning_and_a_wrong_answer(tmp_path, caplog):
    source = write_rows(tmp_path / "a.jsonl", simple_rows())
    test = write_rows(tmp_path / "b.jsonl", [("new one", "pos", ""), ("new two", "amazing", "")])
    with caplog.at_level(logging.WARNING):
        data = load(DataConfig(source=source, test=test), STREAMS)
    assert data.label_names == ("neg", "pos", "amazing")
    assert data.labels[data.test].tolist() == [1, 2]
    assert data.clients.table(data.labels, data.classes)[:, 2].sum() == 0
    assert "1 test rows carry labels that training never saw ('amazing')" in caplog.text


def test_cross_client_duplicates_are_reported(tmp_path):
    rows = [("the same words", "pos", "")] * 40 + simple_rows(100)
    source = write_rows(tmp_path / "a.jsonl", rows)
    data = load(DataConfig(source=source, partition={"kind": "iid", "clients": 3}), STREAMS)
    held = len(set(range(40)) - set(data.test.tolist()))
    assert (data.duplicates.texts, data.duplicates.samples) == ((1, held) if held else (0, 0))
    assert held in (0, 40), "identical texts stand on one side"


def test_an_overlap_is_an_error():
    index = ClientIndex.of(np.array([0, 0, 1]), 2, np.arange(3))
    labels = np.zeros(4, np.int64)
    with pytest.raises(ValueError, match=r"1 samples stand in more than one .* sample 2"):
        FederatedData("text", ["a"] * 4, labels, ("x",), index, np.array([2, 3]), np.array([], np.int64), "")


def test_digits_keep_a_public_part_to_themselves():
    data = load(DataConfig(source="digits", partition={"kind": "shards", "clients": 10}), STREAMS)
    assert data.modality == "image" and data.inputs.shape == (1797, 8, 8) and data.inputs.dtype == np.float32
    assert data.inputs.min() == 0 and data.inputs.max() == 1
    train, test, public = parts(data)
    assert len(public) == 539 and len(test) == 250 and len(train) + len(test) + len(public) == 1797
    assert data.label_names == tuple("0123456789")
    assert (np.bincount(data.labels[public]) > 40).all()
    assert load(DataConfig(source="digits"), STREAMS).fingerprint != data.fingerprint


def test_features_are_seeded_and_mapped(cache):
    config = DataConfig(
        source="features",
        features={"samples": 30, "dimension": 16, "classes": 4, "separation": 6, "test_samples": 200},
        partition={"kind": "iid", "clients": 20},
    )
    data = load(config, STREAMS)
    assert isinstance(data.inputs, np.memmap) and data.inputs.shape == (800, 16)
    assert data.clients.sizes.tolist() == [30] * 20 and len(data.test) == 200
    centres = np.stack(
        [
            data.inputs[data.clients.train_indices][data.labels[data.clients.train_indices] == c].mean(0)
            for c in range(4)
        ]
    )
    guess = ((data.inputs[data.test][:, None] - centres) ** 2).sum(-1).argmin(1)
    assert (guess == data.labels[data.test]).mean() > 0.95
    files = sorted(path.name for path in (cache / "features").iterdir())
    assert len(files) == 2
    again = load(config, STREAMS)
    assert again.fingerprint == data.fingerprint
    assert sorted(path.name for path in (cache / "features").iterdir()) == files
    assert load(config, Streams(1)).fingerprint != data.fingerprint
    data.release()
    np.testing.assert_array_equal(data.inputs[:5], again.inputs[:5])


def test_features_do_not_depend_on_the_chunk_they_end_in(cache, monkeypatch):
    config = DataConfig(features={"dimension": 8, "classes": 3}).features
    mapped, labels, digest = features(config, 100, STREAMS)
    assert hashlib.sha256(np.asarray(mapped).tobytes()).hexdigest() == digest
    assert np.bincount(labels).tolist() == [34, 33, 33]
    (path,) = (p for p in (cache / "features").iterdir() if p.suffix == ".f32")
    path.write_bytes(b"short")  # a damaged file is drawn again
    assert features(config, 100, STREAMS)[2] == digest


def test_the_test_set_of_features_does_not_grow_with_clients(cache):
    for clients in (5, 50):
        config = DataConfig(
            source="features",
            features={"dimension": 4, "test_samples": 60},
            partition={"kind": "dirichlet", "clients": clients},
        )
        assert len(load(config, STREAMS).test) == 60


MEMORY = """
import resource, sys
from qfedfm.core.random import Streams
from qfedfm.data import DataConfig, load
clients = int(sys.argv[1])
data = load(DataConfig(source="features", partition={"kind": "dirichlet", "clients": clients}), Streams(0))
assert len(data.clients) == clients and data.inputs.shape[1] == 384
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_stays_flat_up_to_ten_thousand_clients(cache):
    peak = [
        int(subprocess.run([sys.executable, "-c", MEMORY, str(n)], check=True, capture_output=True).stdout)
        for n in (100, 10_000)
    ]
    assert peak[1] - peak[0] < 100 * 1024, peak  # kB; the features alone are 300 MB


def test_importing_the_room_is_light():
    code = "import sys, qfedfm.data; print(*{m.split('.')[0] for m in sys.modules})"
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()
    heavy = {
        "torch",
        "transformers",
        "peft",
        "pennylane",
        "qiskit",
        "sklearn",
        "scipy",
        "pandas",
        "pyarrow",
        "datasets",
    }
    assert not heavy & set(loaded)


def failing(tmp_path, rows, **changes):
    source = write_rows(tmp_path / "a.jsonl", rows)
    with pytest.raises(RequestError) as caught:
        load(DataConfig(source=source, **changes), STREAMS)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_bad_requests_have_their_sentences(tmp_path, cache):
    assert "every row has the same label" in failing(tmp_path, simple_rows(50, ("only",)))
    many = {"kind": "dirichlet", "clients": 500}
    assert "500 clients are more than the 160 training samples" in failing(
        tmp_path, simple_rows(), partition=many
    )
    few = {"kind": "iid", "clients": 30}
    assert "lower clients to 20 or min_samples to 5" in failing(tmp_path, simple_rows(), partition=few)
    assert "leaves no test data" in failing(tmp_path, simple_rows(4), test_fraction=0.01)
    unique = [(f"t{i}", f"label {i}", "") for i in range(20)]
    assert "set data.label to the column" in failing(tmp_path, unique)
    same = write_rows(tmp_path / "same.jsonl", simple_rows())
    assert "nothing is left to train on" in failing(tmp_path, simple_rows(), test=same)
    assert "does not exist" in failing(tmp_path, simple_rows(), test=str(tmp_path / "no.csv"))
    with pytest.raises(RequestError, match="source 'features' has no columns"):
        load(DataConfig(source="features", partition={"kind": "column", "column": "x"}), STREAMS)
    with pytest.raises(RequestError, match="source 'digits' has no column 'x'; it has no columns"):
        load(DataConfig(source="digits", partition={"kind": "column", "column": "x"}), STREAMS)


def test_labels_that_only_test_rows_carry_do_not_hide_a_single_training_class(tmp_path):
    source = write_rows(tmp_path / "a.jsonl", [*simple_rows(50, ("pos",)), ("shared", "neg", "")])
    test = write_rows(tmp_path / "b.jsonl", [("shared", "neg", "")])
    with pytest.raises(RequestError, match="every row has the same label 'pos'"):
        load(DataConfig(source=source, test=test), STREAMS)

"""Data sets in the form of the ``datasets`` library, made on the spot; nothing is downloaded."""

import json
import time

import numpy as np
import pytest

datasets = pytest.importorskip("datasets")

from qfedfm.core.errors import RequestError  # noqa: E402
from qfedfm.core.random import Streams  # noqa: E402
from qfedfm.data import DataConfig, load  # noqa: E402

STREAMS = Streams(5)


def made(labels, prefix="text"):
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["bad", "good"]),
         "who": datasets.Value("int64")}
    )  # fmt: skip
    rows = {
        "text": [f"{prefix} {i}" for i in range(len(labels))],
        "label": labels,
        "who": [i % 3 for i in range(len(labels))],
    }
    return datasets.Dataset.from_dict(rows, features=features)


@pytest.fixture(autouse=True)
def quiet(tmp_path, monkeypatch):
    datasets.disable_progress_bars()
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def test_a_saved_data_set_with_its_own_test_split(tmp_path):
    splits = datasets.DatasetDict(train=made([0, 1] * 60), test=made([0, 1] * 10, "other"))
    splits.save_to_disk(tmp_path / "set")
    data = load(
        DataConfig(source=f"hf:{tmp_path / 'set'}", partition={"kind": "column", "column": "who"}), STREAMS
    )
    assert data.label_names == ("bad", "good") and len(data.inputs) == 140
    assert data.test.tolist() == list(range(120, 140))
    assert data.clients.names == ("0", "1", "2") and data.clients.sizes.tolist() == [40] * 3


def test_a_test_split_without_labels_gives_way_to_validation(tmp_path):
    splits = datasets.DatasetDict(
        train=made([0, 1] * 60), test=made([-1] * 20, "hidden"), validation=made([1, 0] * 5, "other")
    )
    splits.save_to_disk(tmp_path / "set")
    data = load(DataConfig(source=f"hf:{tmp_path / 'set'}"), STREAMS)
    assert len(data.test) == 10 and data.inputs[int(data.test[0])] == "other 0"


def test_one_split_holds_out_a_part(tmp_path):
    made([0, 1] * 60).save_to_disk(tmp_path / "set")
    data = load(DataConfig(source=f"hf:{tmp_path / 'set'}"), STREAMS)
    assert len(data.test) == 24 and np.bincount(data.labels[data.test]).tolist() == [12, 12]


def test_a_folder_of_files(tmp_path):
    (tmp_path / "set").mkdir()
    rows = [{"text": f"t {i}", "label": i % 2} for i in range(120)]
    (tmp_path / "set" / "train.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    data = load(DataConfig(source=f"hf:{tmp_path / 'set'}"), STREAMS)
    assert data.label_names == ("0", "1") and len(data.inputs) == 120


def test_bad_requests(tmp_path):
    made([0, 1] * 60).save_to_disk(tmp_path / "set")
    with pytest.raises(RequestError, match=r"no column 'txt' \(did you mean 'text'\?\)"):
        load(DataConfig(source=f"hf:{tmp_path / 'set'}", text="txt"), STREAMS)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "train.jsonl").write_text('{"text": "a", "label": 1}\n')
    with pytest.raises(RequestError, match=r"'hf:.*files:nope' cannot be loaded \(.*nope"):
        load(DataConfig(source=f"hf:{tmp_path / 'files'}:nope"), STREAMS)


def test_an_unknown_name_without_network_is_a_sentence_at_once(monkeypatch):
    import huggingface_hub

    def unreachable(*args, **kwargs):
        raise OSError("Name or service not known")

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", unreachable)
    start = time.monotonic()
    with pytest.raises(
        RequestError, match=r"'hf:nobody/nothing' cannot be loaded .*check its name and the network"
    ):
        load(DataConfig(source="hf:nobody/nothing"), STREAMS)
    assert time.monotonic() - start < 10  # not the half minute of the library's own attempts
    assert not datasets.config.HF_HUB_OFFLINE


def test_an_unknown_name_with_network(monkeypatch):
    import huggingface_hub
    from huggingface_hub.errors import HFValidationError

    def unknown(*args, **kwargs):
        raise HFValidationError("no such name")

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", unknown)
    with pytest.raises(RequestError, match="the hub has no data set 'not a name!'"):
        load(DataConfig(source="hf:not a name!"), STREAMS)

"""Files as they are in the world: quoting, headers, encodings, and a sentence for each mistake."""

import json
import os
from pathlib import Path

import numpy as np
import pandas
import pytest

from qfedfm.core.errors import RequestError
from qfedfm.data import read_labelled
from qfedfm.data.files import read_table
from qfedfm.data.labels import check_labels, labelled, ordered_labels

SHARED = Path(os.environ.get("QFEDFM_SHARED_DATA") or Path(__file__).parents[3] / "shared" / "data")
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the public data sets are not on this machine")


def read(path, text="text", label="label", header="auto"):
    columns = (text,) if isinstance(text, str) else tuple(text)
    return labelled(read_table(path, [*columns, label], header), columns, label)


def write(path, content):
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@needs_shared
@pytest.mark.parametrize(("name", "rows"), [("train", 6920), ("dev", 872), ("test", 1821)])
def test_sst2(name, rows):
    texts, labels, warnings = read(SHARED / "sst2" / f"{name}.tsv", "c0", "c1")
    assert len(texts) == len(labels) == rows and set(labels) == {"0", "1"} and warnings == ()


@needs_shared
def test_ag_news():
    texts, labels, _ = read(SHARED / "ag_news" / "test.csv", ["c1", "c2"], "c0")
    assert len(texts) == 7600 and sorted(set(labels)) == ["1", "2", "3", "4"]
    assert "A second\\team of rocketeers" in texts[1]
    assert [labels.count(name) for name in "1234"] == [1900] * 4


def test_a_quoted_csv_keeps_commas_quotes_line_breaks_and_backslashes(tmp_path):
    path = write(tmp_path / "a.csv", 'text,label\r\n"a, ""b""\nc\\d",x\r\n\r\nplain \\ "z",y\r\n')
    texts, labels, _ = read(path)
    assert texts == ['a, "b"\nc\\d', 'plain \\ "z"'] and labels == ["x", "y"]
    frame = pandas.read_csv(path, dtype=str)
    assert [t.strip() for t in frame["text"]] == [t.replace("\n", "\n") for t in texts]


def test_a_tsv_field_is_taken_as_it_stands(tmp_path):
    path = write(tmp_path / "a.tsv", '"stray\t1\nit\'s "fine" , really\t0\n')
    texts, labels, _ = read(path, "c0", "c1")
    assert texts == ['"stray', 'it\'s "fine" , really'] and labels == ["1", "0"]


@pytest.mark.parametrize("header", ["auto", True])
def test_header_by_name(tmp_path, header):
    path = write(tmp_path / "a.csv", "\ufefflabel,text\n1,a\n0,b\n")
    assert read(path, header=header)[:2] == (["a", "b"], ["1", "0"])


@pytest.mark.parametrize("header", ["auto", False])
def test_no_header(tmp_path, header):
    path = write(tmp_path / "a.csv", "1,a\n0,b\n")
    assert read(path, "c1", "c0", header)[:2] == (["a", "b"], ["1", "0"])


def test_a_header_may_be_named_like_numbered_columns(tmp_path):
    path = write(tmp_path / "a.csv", "c1,c0\n1,a\n")
    assert read(path, "c0", "c1")[:2] == (["a"], ["1"])


def test_json_lines_and_parquet(tmp_path):
    rows = [{"text": "ä", "more": "b", "label": 1}, {"text": "c", "more": None, "label": 0}]
    lines = write(tmp_path / "a.jsonl", "\n".join(json.dumps(row) for row in rows) + "\n\n")
    pandas.DataFrame(rows).to_parquet(tmp_path / "a.parquet")
    for path in (lines, tmp_path / "a.parquet"):
        assert read(path, ["text", "more"])[:2] == (["ä b", "c"], ["1", "0"])


def test_labels_as_numbers_or_names(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"text": "a", "label": 1.0}\n{"text": "b", "label": " pos "}\n')
    assert read(path)[1] == ["1", "pos"]
    assert ordered_labels({"10", "9", "1.5"}) == ["1.5", "9", "10"]
    assert ordered_labels({"b", "a", "10"}) == ["10", "a", "b"]


def test_empty_texts_are_kept_and_told(tmp_path):
    texts, _, warnings = read(write(tmp_path / "a.csv", "text,label\n,x\nb,y\n"))
    assert texts == ["", "b"] and "1 rows have an empty text (first: line 2)" in warnings[0]


BAD = {
    "latin.csv": (b"text,label\nok,1\ncaf\xe9,0\n", r"not UTF-8 text: byte 0xe9 at offset 19 \(line 3\)"),
    "utf16.csv": ("text,label\n".encode("utf-16"), r"byte 0xff at offset 0 \(line 1\).*UTF-16"),
    "empty.csv": (b"", "is empty"),
    "blank.tsv": (b"\n\n", "is empty"),
    "only_header.csv": (b"text,label\n", "holds no rows"),
    "empty.jsonl": (b"", "holds no rows"),
    "column.csv": (b"texts,label\na,1\n", r"no column 'text' \(did you mean 'texts'\?\)"),
    "twice.csv": (b"text,text,label\na,b,1\n", "has 2 columns named 'text'"),
    "headless.csv": (b"some words,1\nmore,0\n", r"no column 'text'.*data.header: false"),
    "ragged.csv": (b"text,label\na,1\nb,1,2\n", "line 3: 3 fields where 2 are expected"),
    "ragged.tsv": (b"text\tlabel\na\tb\t1\n", r"line 2: 3 fields where 2 are expected; in a .tsv"),
    "open.csv": (b'text,label\n"a,1\nb,0\n', "line 2: not valid CSV"),
    "nolabel.csv": (b"text,label\na,\nb,1\n", "line 2: no label in column 'label'"),
    "nul.csv": (b"text,label\na\0b,1\n", "NUL character"),
    "bad.jsonl": (b'{"text": "a", "label": 1}\n{"text": "a", \n', "line 2: not valid JSON"),
    "list.jsonl": (b'["a", 1]\n', "line 1: a list, but each line must be an object"),
    "gap.jsonl": (b'{"text": "a", "label": 1}\n{"text": "a"}\n', r"no column 'label'.* in line 2"),
    "nested.jsonl": (b'{"text": ["a"], "label": 1}\n', "holds a list, not a text"),
    "bad.parquet": (b"PAR1 not really", "cannot be read as a parquet file"),
    "file.txt": (b"a", r"must end in one of .csv .tsv .jsonl .parquet"),
}


@pytest.mark.parametrize("name", BAD)
def test_each_wrong_file_has_its_sentence(tmp_path, name):
    content, sentence = BAD[name]
    path = write(tmp_path / name, content)
    with pytest.raises(RequestError, match=sentence) as caught:
        read(path)
    assert name in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file_names_its_neighbour(tmp_path):
    write(tmp_path / "train.csv", "text,label\n")
    with pytest.raises(RequestError, match=r"trian.csv' does not exist \(did you mean 'train.csv'\?\)"):
        read(tmp_path / "trian.csv")
    with pytest.raises(RequestError, match="nor does the folder"):
        read(tmp_path / "no" / "a.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(RequestError, match="is not a file"):
        read(tmp_path / "folder.csv")


def test_parquet_without_the_column(tmp_path):
    pandas.DataFrame({"text": ["a"], "lable": [1]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(RequestError, match=r"no column 'label' \(did you mean 'lable'\?\)"):
        read(tmp_path / "a.parquet")


def test_labels_that_are_no_task():
    with pytest.raises(RequestError, match="every row has the same label 'a'"):
        check_labels(["a", "a"], "f.csv", "label")
    with pytest.raises(RequestError, match="column 'label' has 3 different labels in 3 rows"):
        check_labels(["a", "b", "c"], "f.csv", "label")
    check_labels(["a", "b", "a"], "f.csv", "label")


def test_reading_for_evaluation(tmp_path, caplog):
    path = write(tmp_path / "a.csv", "text,label\na,pos\nb,neg\nc,odd\n")
    texts, labels = read_labelled(path, "text", "label", "auto", ("neg", "pos"))
    assert texts == ["a", "b", "c"] and labels.dtype == np.int64
    assert labels.tolist() == [1, 0, 2]
    assert "1 test rows carry labels that training never saw ('odd')" in caplog.text
    with pytest.raises(RequestError, match="no label in column 'label' is one of the model's"):
        read_labelled(path, "text", "label", "auto", ("0", "1"))

"""The ``data`` section: defaults, and what is refused before anything is read."""

import pytest
from pydantic import ValidationError

from qfedfm.data import DataConfig


def test_defaults_are_written_out():
    plain = DataConfig().plain()
    assert list(plain) == [
        "source", "text", "label", "header", "test", "test_fraction", "validation_fraction", "max_length",
        "partition", "features",
    ]  # fmt: skip
    assert plain["source"] == "docstrings"
    assert plain["partition"] == {"clients": 10, "min_samples": 8, "kind": "dirichlet", "alpha": 0.3}
    assert DataConfig(**plain) == DataConfig()


BAD = [
    ({"source": "docstring"}, "source", "did you mean 'docstrings'"),
    ({"source": "hf:"}, "source", "unknown source 'hf:'"),
    ({"source": "data.txt"}, "source", "a file that ends in"),
    ({"sources": "digits"}, "sources", "Extra inputs are not permitted"),
    ({"test_fraction": 0}, "test_fraction", "greater than 0"),
    ({"test_fraction": 1}, "test_fraction", "less than 1"),
    ({"test_fraction": float("nan")}, "test_fraction", "finite"),
    ({"validation_fraction": 1.0}, "validation_fraction", "less than 1"),
    ({"max_length": 1}, "max_length", "greater than or equal to 2"),
    ({"text": []}, "text", "at least one text column"),
    ({"header": "maybe"}, "header", "auto, true or false"),
    ({"source": "a.csv", "test": "b.txt"}, "test", "a file that ends in"),
    ({"test": "b.csv"}, "", "test is a second file beside a source that is a file"),
    ({"partition": {"kind": "dirichlet", "alpha": 0}}, "partition.dirichlet.alpha", "greater than 0"),
    ({"partition": {"kind": "dirichlet", "alpha": -1}}, "partition.dirichlet.alpha", "greater than 0"),
    ({"partition": {"kind": "quantity", "alpha": 0}}, "partition.quantity.alpha", "greater than 0"),
    ({"partition": {"kind": "iid", "clients": 0}}, "partition.iid.clients", "greater than or equal to 1"),
    ({"partition": {"kind": "iid", "alpha": 1}}, "partition.iid.alpha", "not permitted"),
    ({"partition": {"kind": "dirichelt"}}, "partition", "dirichlet"),
    ({"partition": {"kind": "column"}}, "partition.column.column", "required"),
    (
        {"partition": {"kind": "shards", "labels_per_client": 0}},
        "partition.shards.labels_per_client",
        "equal to 1",
    ),
    ({"features": {"classes": 1}}, "features.classes", "equal to 2"),
]


@pytest.mark.parametrize(("section", "key", "sentence"), BAD)
def test_refused(section, key, sentence):
    with pytest.raises(ValidationError) as caught:
        DataConfig(**section)
    places = [".".join(str(part) for part in error["loc"]) for error in caught.value.errors()]
    assert any(place.startswith(key) for place in places), places
    assert sentence in str(caught.value)

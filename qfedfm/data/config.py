"""The ``data`` section of an experiment file."""

from __future__ import annotations

from pathlib import PurePath
from typing import Self

from pydantic import Field, field_validator, model_validator

from qfedfm.core.config import Config, nearest
from qfedfm.data.partition import DirichletPartition, PartitionConfig

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
PACKAGED = ("docstrings", "digits", "features")


class FeaturesConfig(Config):
    """Seeded Gaussian class clusters, for tests of scale and of the engine (``source: features``)."""

    samples: int = Field(20, ge=1, description="Training samples per client, on average.")
    dimension: int = Field(384, ge=1, description="Numbers per sample.")
    classes: int = Field(10, ge=2, description="Clusters.")
    separation: float = Field(3.0, ge=0, description="Length of the cluster centres, in units of the noise.")
    test_samples: int = Field(
        1000, ge=1, description="Test samples; the same number for any number of clients."
    )


class DataConfig(Config):
    """Where the data comes from, what is held out, and how clients share the rest."""

    source: str = Field(
        "docstrings",
        description="docstrings, digits, features, hf:<dataset>[:<config>], or a data file by its path",
    )
    text: str | tuple[str, ...] = Field("text", description="Text column, or columns that are joined.")
    label: str = Field("label", description="Label column.")
    header: bool | str = Field(
        "auto",
        description="Files: auto, true or false (then columns are c0, c1, ...).",
        json_schema_extra={"enum": ["auto", True, False]},
    )
    test: str | None = Field(None, description="A second file of test data; null holds out test_fraction.")
    test_fraction: float = Field(0.2, gt=0, lt=1, description="Part of the data held out for test.")
    validation_fraction: float = Field(0.0, ge=0, lt=1, description="Part each client holds out.")
    max_length: int = Field(64, ge=2, description="Tokens a text is cut to.")
    partition: PartitionConfig = DirichletPartition()
    features: FeaturesConfig = FeaturesConfig()

    @field_validator("source")
    @classmethod
    def _known_source(cls, source: str) -> str:
        if source in PACKAGED or (source.startswith("hf:") and source[3:].strip(": ")):
            return source
        if PurePath(source).suffix.lower() in SUFFIXES:
            return source
        raise ValueError(
            f"unknown source {source!r}{nearest(source, PACKAGED)}: give one of {', '.join(PACKAGED)}, "
            f"hf:<dataset>, or a file that ends in {' '.join(SUFFIXES)}"
        )

    @field_validator("text")
    @classmethod
    def _some_text(cls, text: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if not text or (not isinstance(text, str) and not all(text)):
            raise ValueError("name at least one text column")
        return text

    @field_validator("header")
    @classmethod
    def _known_header(cls, header: bool | str) -> bool | str:
        if isinstance(header, bool) or header == "auto":
            return header
        raise ValueError(f"header is auto, true or false, not {header!r}")

    @field_validator("test")
    @classmethod
    def _test_is_a_file(cls, test: str | None) -> str | None:
        if test is not None and PurePath(test).suffix.lower() not in SUFFIXES:
            raise ValueError(f"test is a file that ends in {' '.join(SUFFIXES)}, not {test!r}")
        return test

    @model_validator(mode="after")
    def _test_beside_a_file(self) -> Self:
        if self.test is not None and PurePath(self.source).suffix.lower() not in SUFFIXES:
            raise ValueError(
                f"test is a second file beside a source that is a file; {self.source!r} holds out its own"
            )
        return self

    @property
    def text_columns(self) -> tuple[str, ...]:
        """The text columns, one or several."""
        return (self.text,) if isinstance(self.text, str) else self.text

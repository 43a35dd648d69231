"""What ``model.json`` holds: all that is needed to predict again, without the training data."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from qfedfm.core.config import Config
from qfedfm.core.errors import RequestError
from qfedfm.core.files import write_atomic
from qfedfm.models.config import ModelConfig

FILE = "model.json"


class Description(Config):
    """A trained model in words.

    Args:
        config: The model section of its experiment.
        modality: What it reads.
        shape: Of one input: empty for text, (H, W) for images, (D,) for features.
        label_names: The classes, in the order of the logits.
        max_length: Where texts are cut, tokens.
        precision: As resolved, never ``auto``.
        backbone_hash: Of the frozen weights; empty without a backbone.
    """

    format: Literal[1] = 1
    config: ModelConfig
    modality: Literal["text", "image", "features"]
    shape: tuple[int, ...]
    label_names: tuple[str, ...]
    max_length: int
    precision: Literal["float32", "bfloat16"]
    backbone_hash: str

    def write(self, folder: Path) -> None:
        """Writes ``model.json``."""
        write_atomic(folder / FILE, self.model_dump_json(indent=2) + "\n")

    @staticmethod
    def read(folder: Path) -> Description:
        """Returns what ``folder/model.json`` says.

        Raises:
            RequestError: If it is absent or not well formed.
        """
        path = folder / FILE
        try:
            return Description.model_validate_json(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise RequestError(f"{folder} has no {FILE}; name the folder of a complete run") from error
        except ValidationError as error:
            first: Any = error.errors()[0]
            where = ".".join(str(step) for step in first["loc"])
            raise RequestError(f"{path}: {where}: {first['msg']}") from error

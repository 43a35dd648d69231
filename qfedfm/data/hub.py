"""The source ``hf:<dataset>[:<config>]``: data sets of the Hugging Face hub, or a local folder of that form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qfedfm.core.errors import NotBuiltError
from qfedfm.data.config import DataConfig

if TYPE_CHECKING:
    from qfedfm.data.load import Samples


def hub(config: DataConfig) -> Samples:
    """Reads a data set."""
    raise NotBuiltError("data.source: hf: is not built yet")

"""What engines share that wrap another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qfedfm.core.tensors import Layout

if TYPE_CHECKING:
    from qfedfm.federation.engines import Engine


class Around:
    """Says of clients and model what the engine inside says.

    Args:
        engine: Who trains.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def sizes(self) -> np.ndarray:
        """Training examples per client, shape (N,)."""
        return self._engine.sizes

    @property
    def class_counts(self) -> np.ndarray:
        """Training examples of each class per client, shape (N, C)."""
        return self._engine.class_counts

    @property
    def layout(self) -> Layout:
        """What is trained and travels."""
        return self._engine.layout

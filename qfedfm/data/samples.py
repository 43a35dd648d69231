"""What every source gives, before anything is divided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from qfedfm.data.federated import Modality


@dataclass(frozen=True)
class Samples:
    """Labelled samples of one source.

    Args:
        modality: What the samples are.
        inputs: Texts, images or features.
        names: Label name of each sample.
        columns: Values that may own samples, by column name.
        test: Which samples are test data, or None to hold out a part.
        digest: SHA-256 of the inputs where the source knows it, else empty.
        unique: Whether the source guarantees that no two samples are identical.
        public: Part kept for pretraining.
        warnings: Sentences for the user.
    """

    modality: Modality
    inputs: Sequence[str] | NDArray[np.float32]
    names: Sequence[str]
    columns: dict[str, Sequence[str]] = field(default_factory=dict)
    test: NDArray[np.bool_] | None = None
    digest: str = ""
    unique: bool = False
    public: float = 0.0
    warnings: tuple[str, ...] = ()

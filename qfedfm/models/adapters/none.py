"""No adapter: the backbone stays as it is and only the head is trained."""

from __future__ import annotations

from typing import Literal

from qfedfm.core.config import Config


class NoAdapterConfig(Config):
    """No options: pooled features are computed once, and a round touches only the head."""

    kind: Literal["none"] = "none"

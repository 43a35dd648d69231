"""Steps around the update, one file a stage: in order on the client, reversed on the server.

A stage is a frozen configuration with ``on_client(update, rng)`` and ``on_server(combined, rng)``.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from qfedfm.federation.stages.base import Stage
from qfedfm.federation.stages.clip import Clip

StageConfig = Annotated[Clip, Field()]

__all__ = ["Clip", "Stage", "StageConfig"]

"""Steps around the update, one file a stage: in order on the client, reversed on the server.

A stage is a frozen configuration with ``on_client(update, rng)``, ``unpack(update, layout)`` for one client's
update on the server, and ``on_server(combined, rng)`` for all of them.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from qfedfm.federation.stages.base import Stage
from qfedfm.federation.stages.clip import Clip
from qfedfm.federation.stages.quantize import Quantize
from qfedfm.federation.stages.topk import TopK

StageConfig = Annotated[Clip | TopK | Quantize, Field(discriminator="kind")]

__all__ = ["Clip", "Quantize", "Stage", "StageConfig", "TopK"]

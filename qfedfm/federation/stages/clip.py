"""Clipping: an update's L2 norm is bounded on the client. McMahan et al., 2018, arXiv:1710.06963."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from qfedfm.core.tensors import Layout
from qfedfm.core.update import Update
from qfedfm.federation.stages.base import Stage


class Clip(Stage):
    """``delta * min(1, norm / ||delta||)``."""

    kind: Literal["clip"] = "clip"
    norm: Annotated[float, Field(gt=0)] = 1.0

    def on_client(self, update: Update, rng: np.random.Generator) -> Update:
        """Scales the difference to at most ``norm``."""
        layout = Layout.of(update.delta)
        vector = layout.flatten(update.delta)
        scale = min(1.0, self.norm / max(float(vector.norm()), 1e-12))
        return replace(update, delta=layout.view(vector * scale))

"""Floor 4: the model. A frozen backbone, adapters in it, a head on top; what is trained and travels.

``build`` makes a :class:`~qfedfm.models.model.Model` from a configuration and data;
``load_model_from_folder`` makes one that predicts from a run's folder. Importing this room and checking a
configuration loads neither torch nor transformers nor peft.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from qfedfm.models.config import ModelConfig
from qfedfm.models.model import Model
from qfedfm.models.precision import resolve_precision

if TYPE_CHECKING:
    from qfedfm.models.building import TrainedModel, build, load_model_from_folder

__all__ = ["Model", "ModelConfig", "TrainedModel", "build", "load_model_from_folder", "resolve_precision"]

_LAZY = ("TrainedModel", "build", "load_model_from_folder")


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("qfedfm.models.building"), name)

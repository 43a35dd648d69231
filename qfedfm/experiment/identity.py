"""What names a run: the hash of everything that its results depend on."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from qfedfm.experiment.config import RESULTS_VERSION, Experiment

if TYPE_CHECKING:
    from qfedfm.data import FederatedData


def config_hash(experiment: Experiment) -> str:
    """Returns the hash of all options that results depend on, 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(experiment.defining(), sort_keys=True).encode()).hexdigest()


def run_identity(experiment: Experiment, data: FederatedData, backbone_hash: str) -> str:
    """Returns the run id: options, data, backbone weights and the package's results version."""
    parts = [config_hash(experiment), data.fingerprint, backbone_hash, str(RESULTS_VERSION)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def backbone_hash(experiment: Experiment, data: FederatedData) -> str:
    """Returns the hash of the backbone's weights, or ``""`` where data and seed determine them."""
    if data.modality != "text":
        return ""
    from qfedfm.models.backbones.source import find

    return find(experiment.model.backbone).hash

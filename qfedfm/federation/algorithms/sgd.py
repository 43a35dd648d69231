"""Plain local training, as in FedAvg. McMahan et al., 2017, arXiv:1602.05629."""

from __future__ import annotations

from typing import Literal

from qfedfm.federation.algorithms.base import Algorithm


class PlainTraining(Algorithm):
    """Each client takes its optimizer's steps on its own loss and nothing else."""

    kind: Literal["sgd"] = "sgd"

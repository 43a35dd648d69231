"""What a client does differently from plain local training, one file a method.

An algorithm is a frozen configuration with hooks that the training loop calls:

* ``keeps(name)``: what stays with each client and is never averaged.
* ``server_init(size)`` and ``client_init(size)``: named vectors (d,) that the server, or each client,
  keeps. Server vectors travel down with the model; client vectors stay with the client.
* ``begin(start, server, client)``: called once per chunk of K clients; returns whatever
  ``correct`` needs, as named tensors of shape (d,) or (K, d).
* ``correct(leaves, local)``: edits ``leaf.grad`` in place, before the optimizer's step;
  ``after_step(...)`` edits ``local`` after it; ``outcome(...)`` says what travels in place of the difference.
* ``measure(landscape)``: auxiliary tensors of the trained model, for methods that say so.
* ``personal()``: the algorithm of a second training, from the client's own model.
* ``finish(...)``: the auxiliary vectors that travel up and the clients' new vectors, each (K, d).
* ``on_cohort(...)``: rescales admitted updates before they are combined.
* ``move(...)`` and ``server_step(...)``: what the server optimizer sees, and the server's next vectors.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from qfedfm.federation.algorithms.base import PERSONAL, Algorithm
from qfedfm.federation.algorithms.ditto import Ditto
from qfedfm.federation.algorithms.feddyn import FedDyn
from qfedfm.federation.algorithms.fedkseed import FedKSeed
from qfedfm.federation.algorithms.fednova import FedNova
from qfedfm.federation.algorithms.fedprox import FedProx
from qfedfm.federation.algorithms.fqngd import FQNGD
from qfedfm.federation.algorithms.local_parts import LocalParts
from qfedfm.federation.algorithms.metric_average import MetricAverage
from qfedfm.federation.algorithms.pfedme import PFedMe
from qfedfm.federation.algorithms.rank_decay import RankDecay
from qfedfm.federation.algorithms.scaffold import Scaffold
from qfedfm.federation.algorithms.sgd import PlainTraining

AlgorithmConfig = Annotated[
    PlainTraining
    | FedProx
    | Scaffold
    | FedNova
    | FedDyn
    | Ditto
    | PFedMe
    | LocalParts
    | RankDecay
    | FQNGD
    | MetricAverage
    | FedKSeed,
    Field(discriminator="kind"),
]

__all__ = [
    "FQNGD",
    "PERSONAL",
    "Algorithm",
    "AlgorithmConfig",
    "Ditto",
    "FedDyn",
    "FedKSeed",
    "FedNova",
    "FedProx",
    "LocalParts",
    "MetricAverage",
    "PFedMe",
    "PlainTraining",
    "RankDecay",
    "Scaffold",
]

"""What a client does differently from plain local training, one file a method.

An algorithm is a frozen configuration with hooks that the training loop calls:

* ``server_init(size)`` and ``client_init(size)``: named vectors (d,) that the server, or each client,
  keeps. Server vectors travel down with the model; client vectors stay with the client.
* ``begin(start, server, client)``: called once per chunk of K clients; returns whatever
  ``correct`` needs, as named tensors of shape (d,) or (K, d).
* ``correct(leaves, local)``: edits ``leaf.grad`` in place, before the optimizer's step.
* ``finish(...)``: the auxiliary vectors that travel up and the clients' new vectors, each (K, d).
* ``server_step(...)``: the server's next vectors from the admitted clients' auxiliary.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from qfedfm.federation.algorithms.base import Algorithm
from qfedfm.federation.algorithms.fedprox import FedProx
from qfedfm.federation.algorithms.scaffold import Scaffold
from qfedfm.federation.algorithms.sgd import PlainTraining

AlgorithmConfig = Annotated[PlainTraining | FedProx | Scaffold, Field(discriminator="kind")]

__all__ = ["Algorithm", "AlgorithmConfig", "FedProx", "PlainTraining", "Scaffold"]

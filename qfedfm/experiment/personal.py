"""Models that belong to clients: scoring them, and keeping them with the run.

Where a method leaves parts of the model with the clients (FedSA-LoRA, local parts) the server has no whole
model, and the test accuracy is the mean over clients of their own models' accuracies, weighted by examples.
Where a method trains personal models beside a global one (Ditto, pFedMe) the test accuracy is the global
model's. In both cases each client's own model is scored on that client's held-out part.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qfedfm.core.errors import RequestError
from qfedfm.core.files import placing
from qfedfm.experiment.evaluation import headline, logits_of

if TYPE_CHECKING:
    from torch import Tensor

    from qfedfm.data import FederatedData
    from qfedfm.federation.engines.flower.engine import FlowerEngine
    from qfedfm.federation.engines.local import LocalEngine
    from qfedfm.federation.plan import Plan
    from qfedfm.models import Model

FILE = "personal.safetensors"


class Personal:
    """The clients' own models in one run, if its method makes any.

    Args:
        plan: The federation's plan.
        engine: Where the clients' vectors lie.
        clients: Whose models are scored and kept.
    """

    def __init__(self, plan: Plan, engine: LocalEngine | FlowerEngine, clients: Sequence[int]) -> None:
        self._plan, self._engine, self._clients = plan, engine, tuple(clients)
        self.split = any(plan.keeps(name) for name in engine.layout.names)

    def vectors(self, model: Tensor) -> list[Tensor] | None:
        """Returns the clients' models (d,), or None where there is only the global one."""
        return self._engine.personal(self._plan, model, self._clients)

    def headline(
        self, model: Model, vector: Tensor, labels: np.ndarray, index: np.ndarray
    ) -> tuple[float, float]:
        """Returns (loss, accuracy) of what the method has for a new sample: see above."""
        vectors = self.vectors(vector) if self.split else None
        if vectors is None:
            return headline(logits_of(model, vector, index), labels[index])
        sizes = self._engine.sizes[list(self._clients)].astype(float)
        found = np.array([headline(logits_of(model, own, index), labels[index]) for own in vectors])
        loss, accuracy = sizes / sizes.sum() @ found
        return float(loss), float(accuracy)

    def by_client(self, model: Model, vector: Tensor, data: FederatedData) -> list[dict[str, Any]]:
        """Returns each client's accuracy with its own model, on its validation (or else training) part."""
        held = "validation" if len(data.clients.validation_indices) else "train"
        vectors = self.vectors(vector)
        scored = []
        for place, client in enumerate(self._clients):
            index = data.clients.validation(client) if held == "validation" else data.clients.train(client)
            if len(index):
                own = vector if vectors is None else vectors[place]
                _, accuracy = headline(logits_of(model, own, index), data.labels[index])
                scored.append({"client": client, "accuracy": accuracy, "examples": len(index), "on": held})
        return scored

    def save(self, vector: Tensor, folder: Path) -> None:
        """Writes ``personal.safetensors``: the clients' whole vectors, (clients, d), where there are any."""
        import torch
        from safetensors.torch import save_file

        vectors = self.vectors(vector)
        if vectors is None:
            return
        with placing(folder / FILE) as temporary:
            numbers = torch.tensor(self._clients, dtype=torch.int64)
            save_file({"clients": numbers, "models": torch.stack(vectors).cpu()}, temporary)


def personal_vector(folder: Path, client: int) -> Tensor:
    """Returns the model (d,) of one client of a run.

    Raises:
        RequestError: If the run kept no model of this client.
    """
    from safetensors.torch import load_file

    path = folder / FILE
    if not path.is_file():
        raise RequestError(f"{folder}: this run has no personal models; leave the client out")
    found = load_file(path)
    places = (found["clients"] == client).nonzero().flatten().tolist()
    if not places:
        raise RequestError(
            f"{folder}: has personal models of clients {int(found['clients'][0])} to "
            f"{int(found['clients'][-1])}, none of client {client}"
        )
    vector: Tensor = found["models"][places[0]]
    return vector

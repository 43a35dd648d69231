"""FedDyn: dynamic regularisation aligns local optima with the global. Acar et al., 2021, arXiv:2111.04263.

    client:  min L_k(w) − ⟨h_k, w⟩ + (α/2) ‖w − w_g‖²,   then h_k −= α (w_k − w_g)
    server:  h −= (α/N) Σ_S (w_k − w_g),   w_g = mean_S w_k − h/α

N counts all clients; h_k and h start at 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from qfedfm.federation.algorithms.base import Algorithm, Vectors

if TYPE_CHECKING:
    from torch import Tensor

    from qfedfm.aggregation.cohort import Cohort, Combined
    from qfedfm.core.tensors import FlatTensors


class FedDyn(Algorithm):
    """Needs the plain mean over clients.

    Args:
        alpha: α, the strength of the proximal term.
    """

    kind: Literal["feddyn"] = "feddyn"
    alpha: Annotated[float, Field(gt=0)] = 0.1

    private: ClassVar[tuple[str, ...]] = ("h",)
    remembers: ClassVar[bool] = True
    uniform: ClassVar[bool] = True
    moves_server: ClassVar[bool] = True

    def server_init(self, start: Tensor) -> Vectors:
        """Returns h = 0."""
        return {"h": start.new_zeros(start.shape)}

    def client_init(self, start: Tensor) -> Vectors:
        """Returns h_k = 0."""
        return {"h": start.new_zeros(start.shape)}

    def begin(self, start: Tensor, server: Vectors, client: Vectors) -> Vectors:
        """Keeps the global model and h_k."""
        return {"start": start, "h": client["h"]}

    def correct(self, leaves: Mapping[str, Tensor], local: Mapping[str, FlatTensors]) -> None:
        """Adds ``α (w − w_g) − h_k`` to each gradient."""
        for name, leaf in leaves.items():
            if leaf.grad is not None:
                leaf.grad.add_(leaf.detach() - local["start"][name], alpha=self.alpha).sub_(local["h"][name])

    def finish(
        self,
        delta_KD: Tensor,
        steps_K: Tensor,
        rate: float,
        server: Vectors,
        client: Vectors,
    ) -> tuple[Vectors, Vectors]:
        """Returns the new h_k to keep, (K, d)."""
        return {}, {"h": client["h"] - self.alpha * delta_KD}

    def move(
        self, combined: Combined, cohort: Cohort, server: Vectors, clients: int
    ) -> tuple[Combined, Vectors]:
        """Returns ``mean_S δ_k − h/α`` as the difference, and the new h."""
        part = len(cohort.clients) / clients
        h = server["h"] - self.alpha * part * combined.delta
        return replace(combined, delta=combined.delta - h / self.alpha), {"h": h}

"""The LoRA layers of a cohort: which tensors are the two factors of which module.

Shapes: K = clients, r = rank of the adapter, o = outputs, i = inputs of a layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from qfedfm.aggregation.cohort import Cohort
from qfedfm.core.errors import RequestError

if TYPE_CHECKING:
    from torch import Tensor

    from qfedfm.core.random import Streams
    from qfedfm.core.tensors import Layout

ADAPTER = "adapter/"
_ENDS = {".lora_A": ".lora_B", ".lora_embedding_A": ".lora_embedding_B"}


@dataclass(frozen=True)
class Layer:
    """One adapted module.

    Args:
        module: Its name in the backbone.
        down: The layout's name of A, shape (r, i).
        up: The layout's name of B, shape (o, r).
        inputs: i.
        outputs: o.
        rank: r.
    """

    module: str
    down: str
    up: str
    inputs: int
    outputs: int
    rank: int


def is_down(name: str) -> bool:
    """Returns whether a tensor of the layout is a factor A."""
    return name.startswith(ADAPTER) and name.endswith(tuple(_ENDS))


def is_up(name: str) -> bool:
    """Returns whether a tensor of the layout is a factor B."""
    return name.startswith(ADAPTER) and name.endswith(tuple(_ENDS.values()))


def lora_layers(layout: Layout) -> tuple[Layer, ...]:
    """Returns the adapted modules in the layout's order; none where there is no LoRA."""
    shapes = dict(layout.entries)
    found = []
    for name, shape in layout.entries:
        for down, up in _ENDS.items():
            if name.startswith(ADAPTER) and name.endswith(down):
                stem = name.removesuffix(down)
                if len(shape) != 2 or len(shapes[stem + up]) != 2:
                    continue  # a convolution; see require_matrices
                outputs = shapes[stem + up][0]
                found.append(Layer(stem.removeprefix(ADAPTER), name, stem + up, shape[1], outputs, shape[0]))
    return tuple(found)


def require_matrices(layout: Layout) -> None:
    """Raises RequestError if an adapter's factors are not two matrices, as those of a convolution."""
    for name, shape in layout.entries:
        if (is_down(name) or is_up(name)) and len(shape) != 2:
            raise RequestError(
                f"model.adapter.targets: {name.removeprefix(ADAPTER)} belongs to a convolution, whose LoRA "
                "factors are no matrices; use aggregation {kind: fedavg}, or adapt linear layers only"
            )


def truncated(layout: Layout, vector: Tensor, rank: int) -> Tensor:
    """Returns a copy of ``vector`` (d,) with all but the first ``rank`` rows of A and columns of B zero.

    Where A's rows and B's columns are both zero, so are their gradients: a client that starts from here
    trains a factorisation of that rank and nothing else.
    """
    result = vector.clone()
    view = layout.view(result)
    for layer in lora_layers(layout):
        view[layer.down][rank:] = 0
        view[layer.up][:, rank:] = 0
    return result


@dataclass(frozen=True)
class Factors:
    """The factors of one layer at every client, as absolute values in float64.

    Args:
        layer: Which layer.
        A_Kri: Shape (K, r, i), zero beyond a client's rank.
        B_Kor: Shape (K, o, r), zero beyond a client's rank.
        p_K: The clients' weights, adding up to 1, float64.
        s_K: The clients' scales.
        s: The scale of what is returned.
        start: (A, B) of the global model before the round.
        ranks: The clients' ranks.
        streams: The round's random streams.
    """

    layer: Layer
    A_Kri: Tensor
    B_Kor: Tensor
    p_K: Tensor
    s_K: Tensor
    s: float
    start: tuple[Tensor, Tensor]
    ranks: tuple[int, ...]
    streams: Streams

    @cached_property
    def mean(self) -> tuple[Tensor, Tensor]:
        """(Ā, B̄), the weighted means of the factors."""
        import torch

        return torch.einsum("k,kri->ri", self.p_K, self.A_Kri), torch.einsum(
            "k,kor->or", self.p_K, self.B_Kor
        )

    @cached_property
    def stacked(self) -> tuple[Tensor, Tensor]:
        """(B, A) with ``B A = Σ p_k s_k B_k A_k``, shapes (o, Σr_k) and (Σr_k, i); weights are on B."""
        import torch

        weights = self.p_K * self.s_K
        pairs = list(enumerate(self.ranks))
        return (
            torch.cat([weights[k] * self.B_Kor[k, :, :rank] for k, rank in pairs], dim=1),
            torch.cat([self.A_Kri[k, :rank] for k, rank in pairs]),
        )


@dataclass(frozen=True)
class Merged:
    """What a rule makes of one layer.

    Args:
        A: The next global A, (r, i).
        B: The next global B, (o, r).
        residual: (B, A) that is added to the frozen weight, shapes (o, R) and (R, i), or None.
    """

    A: Tensor
    B: Tensor
    residual: tuple[Tensor, Tensor] | None = None


def factors(cohort: Cohort, layer: Layer, p_K: Tensor) -> Factors:
    """Returns the absolute factors of ``layer`` at every client of ``cohort``."""
    import torch

    clients = len(cohort.clients)
    view = cohort.layout.view(cohort.delta_KD)
    start = cohort.start if cohort.start is not None else cohort.delta_KD.new_zeros(cohort.layout.size)
    begin = cohort.layout.view(start)
    down, up = begin[layer.down].double(), begin[layer.up].double()
    ranks = cohort.ranks or (layer.rank,) * clients
    kept = (
        torch.arange(layer.rank, device=down.device) < torch.tensor(ranks, device=down.device).unsqueeze(1)
    ).double()
    scales = cohort.scales or (cohort.scale,) * clients
    return Factors(
        layer=layer,
        A_Kri=(view[layer.down].double() + down) * kept.unsqueeze(2),
        B_Kor=(view[layer.up].double() + up) * kept.unsqueeze(1),
        p_K=p_K.double(),
        s_K=torch.tensor(scales, dtype=torch.float64, device=down.device),
        s=cohort.scale,
        start=(down, up),
        ranks=tuple(ranks),
        streams=cohort.streams,
    )

"""Combining a large model's LoRA: the exact fixed-rank rule against a dense SVD, FedIT against reading.

The clients' factors lie in one file, layer after layer, and are mapped, not loaded: memory holds one layer.
Shapes: K = clients, r = rank, o = outputs, i = inputs of a layer.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from qfedfm.aggregation.best_rank import BestRank
from qfedfm.aggregation.layers import Factors, Layer
from qfedfm.core.random import Streams

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Shape:
    """A model's LoRA. The default is that of a model of 7 billion parameters.

    Args:
        layers: Adapted matrices: 32 layers with 4 targets.
        outputs: o.
        inputs: i.
        rank: r.
        clients: K.
    """

    layers: int = 128
    outputs: int = 4096
    inputs: int = 4096
    rank: int = 16
    clients: int = 50

    @property
    def numbers(self) -> int:
        """Numbers of one client in one layer."""
        return self.rank * (self.outputs + self.inputs)


def measure(
    shape: Shape | None = None, *, streamed: int = 8, repeats: int = 3, dense: bool = True
) -> dict[str, Any]:
    """Returns seconds, ratios and memory.

    Args:
        shape: What is combined.
        streamed: Layers that are really written, read and combined one after the other; times of all
            layers are extrapolated from them.
        repeats: Of which the median counts.
        dense: Whether to measure one layer of the dense route (minutes).
    """
    shape = shape or Shape()
    p_K = _weights(shape.clients)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "factors.bin"
        _write(path, shape, streamed)
        began = _peak_bytes()
        read = _median(repeats, lambda: _each(path, shape, streamed, lambda rows: rows.clone()))
        fedit = _median(repeats, lambda: _each(path, shape, streamed, lambda x: p_K.float() @ x))
        exact = _median(
            1 if streamed > 1 else repeats,
            lambda: _each(path, shape, streamed, lambda x: BestRank().merge(factors(x, shape, p_K))),
        )
        peak = _peak_bytes()
        one = next(layers(path, shape, 1))
        found: dict[str, Any] = {
            "clients": shape.clients,
            "layers": shape.layers,
            "measured_layers": streamed,
            "read_seconds": read / streamed * shape.layers,
            "fedit_seconds": fedit / streamed * shape.layers,
            "fedit_over_read": fedit / read,
            "fixed_rank_seconds": exact / streamed * shape.layers,
            "peak_gib": peak / 2**30,
            "peak_gib_before": began / 2**30,
        }
        if dense:
            start = time.perf_counter()
            reference = dense_route(one, shape, p_K)
            seconds = time.perf_counter() - start
            merged = BestRank().merge(factors(one, shape, p_K))
            difference = (merged.B @ merged.A - reference).norm() / reference.norm()
            found |= {
                "dense_seconds": seconds * shape.layers,
                "dense_over_fixed_rank": seconds / (exact / streamed),
                "relative_difference": float(difference),
            }
    return found


def dense_route(rows: Tensor, shape: Shape, p_K: Tensor) -> Tensor:
    """Returns the best rank-r approximation the usual way: form the sum, full SVD, cut; float32."""
    import torch

    B_Kor, A_Kri = _split(rows, shape)
    total = torch.zeros(shape.outputs, shape.inputs)
    for p, B, A in zip(p_K.float(), B_Kor, A_Kri, strict=True):
        total += p * (B @ A)
    U, sigma, Vt = torch.linalg.svd(total, full_matrices=False)
    r = shape.rank
    best: Tensor = (U[:, :r] * sigma[:r]) @ Vt[:r]
    return best


def factors(rows: Tensor, shape: Shape, p_K: Tensor) -> Factors:
    """Returns one layer of all clients as a rule takes it; the scale is 1."""
    import torch

    B_Kor, A_Kri = _split(rows, shape)
    return Factors(
        layer=Layer("layer", "A", "B", shape.inputs, shape.outputs, shape.rank),
        A_Kri=A_Kri.double(),
        B_Kor=B_Kor.double(),
        p_K=p_K,
        s_K=torch.ones(shape.clients, dtype=torch.float64),
        s=1.0,
        start=(torch.zeros(0), torch.zeros(0)),
        ranks=(shape.rank,) * shape.clients,
        streams=Streams(0),
    )


def layers(path: Path, shape: Shape, count: int) -> Iterator[Tensor]:
    """Yields the clients' rows (K, numbers) of each layer, mapped from the file."""
    import torch

    whole = np.memmap(path, np.float32, "c").reshape(-1, shape.clients, shape.numbers)
    for layer in range(count):
        yield torch.from_numpy(whole[layer])


def _split(rows: Tensor, shape: Shape) -> tuple[Tensor, Tensor]:
    A = rows[:, : shape.rank * shape.inputs].view(-1, shape.rank, shape.inputs)
    return rows[:, shape.rank * shape.inputs :].view(-1, shape.outputs, shape.rank), A


def _weights(clients: int) -> Tensor:
    import torch

    weights = torch.arange(1, clients + 1, dtype=torch.float64)
    return weights / weights.sum()


def _write(path: Path, shape: Shape, count: int) -> None:
    """Writes seeded factors of about unit product norm."""
    streams = Streams(0)
    with path.open("wb") as stream:
        for layer in range(count):
            drawn = streams("benchmark", layer).standard_normal((shape.clients, shape.numbers), np.float32)
            stream.write((drawn / np.float32(shape.rank**0.5)).tobytes())


def _each(path: Path, shape: Shape, count: int, combine: Callable[[Tensor], Any]) -> None:
    for rows in layers(path, shape, count):
        combine(rows)


def _median(repeats: int, call: Callable[[], None]) -> float:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return median(seconds)


def _peak_bytes() -> int:
    """Returns the largest resident size of this process so far."""
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024

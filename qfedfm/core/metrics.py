"""Metrics that add up: sums with weights, so that a cohort's mean is the mean over its examples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Metrics:
    """Named weighted sums; adding two gives the metrics of the union.

    Args:
        sums: Per name, the sum of the quantity over its examples.
        weights: Per name, how many examples (or steps) went into the sum.
    """

    sums: Mapping[str, float] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)

    @staticmethod
    def of(**values: tuple[float, float]) -> Metrics:
        """Builds metrics from ``name=(sum, weight)``."""
        return Metrics(
            {name: float(total) for name, (total, _) in values.items()},
            {name: float(weight) for name, (_, weight) in values.items()},
        )

    def __add__(self, other: Metrics) -> Metrics:
        """Returns the metrics of both sets of examples together."""
        names = [*self.sums, *(n for n in other.sums if n not in self.sums)]
        return Metrics(
            {n: self.sums.get(n, 0.0) + other.sums.get(n, 0.0) for n in names},
            {n: self.weights.get(n, 0.0) + other.weights.get(n, 0.0) for n in names},
        )

    @staticmethod
    def total(parts: Iterable[Metrics]) -> Metrics:
        """Returns the sum of ``parts`` in their order."""
        result = Metrics()
        for part in parts:
            result = result + part
        return result

    def means(self) -> dict[str, float]:
        """Returns sum over weight per name; names of weight zero are left out."""
        return {n: self.sums[n] / self.weights[n] for n in self.sums if self.weights.get(n)}

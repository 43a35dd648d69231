"""What one asks of a circuit before training it: do gradients vanish, what can it reach, how entangled.

Gradient variances (barren plateaus), expressibility, entangling capability; the metric tensor is
:func:`qfedfm.quantum.metric_tensor`. ``qfedfm circuits analyse`` writes them all, with plots.
"""

from __future__ import annotations

from qfedfm.quantum.diagnostics.entangling_capability import (
    EntanglingCapability,
    entangling_capability,
    haar_entanglement,
    meyer_wallach,
)
from qfedfm.quantum.diagnostics.expressibility import (
    Expressibility,
    expressibility,
    haar_histogram,
    pair_fidelities,
)
from qfedfm.quantum.diagnostics.gradient_variance import (
    GradientVariance,
    decay_rate,
    gradient_variance,
    gradient_variance_of,
    gradient_variance_scan,
)
from qfedfm.quantum.diagnostics.metric_spectrum import MetricSpectrum, metric_spectrum
from qfedfm.quantum.diagnostics.sampling import draw_parameters

__all__ = [
    "EntanglingCapability",
    "Expressibility",
    "GradientVariance",
    "MetricSpectrum",
    "decay_rate",
    "draw_parameters",
    "entangling_capability",
    "expressibility",
    "gradient_variance",
    "gradient_variance_of",
    "gradient_variance_scan",
    "haar_entanglement",
    "haar_histogram",
    "metric_spectrum",
    "meyer_wallach",
    "pair_fidelities",
]

"""Floor 4: rules from updates to the next global model, one file a method.

An aggregator is a frozen configuration with two pure functions: ``init(model) -> state`` and
``combine(state, cohort) -> (combined, state)``. It declares what it ``sees``: ``"sum"`` if a weighted
sum of the updates is all it needs, else ``"individuals"``; behind a protocol that reveals only a sum,
one that needs individuals is refused when the plan is built.
"""

from __future__ import annotations

from qfedfm.aggregation.cohort import Cohort, Combined
from qfedfm.aggregation.fedavg import FedAvg

AggregationConfig = FedAvg

__all__ = ["AggregationConfig", "Cohort", "Combined", "FedAvg"]

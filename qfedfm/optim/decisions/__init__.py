"""Decisions of a federation as QUBO problems, one file each, solved by any solver of ``optim/qubo``.

Each file builds the problem (``problem(...)``) and reads the answer; every answer carries the solver's
:class:`~qfedfm.optim.qubo.Solution`, with the best value known, the gap and the time.
"""

from __future__ import annotations

from qfedfm.optim.decisions.clients import choose_clients
from qfedfm.optim.decisions.ranks import Allocation, allocate_ranks
from qfedfm.optim.decisions.subset import choose_subset

__all__ = ["Allocation", "allocate_ranks", "choose_clients", "choose_subset"]

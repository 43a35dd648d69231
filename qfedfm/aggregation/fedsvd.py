"""FedSVD: B is trained, and A is made orthonormal again each round. Lee et al., 2025, arXiv:2505.12805.

    U Σ Vᵀ = SVD(B̄ Â);  Â = V_rᵀ,  B̂ = U_r Σ_r

Exact, since all clients share Â; the product does not change, only its factors do. If B̄ = 0, Â stays.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from qfedfm.aggregation.layers import Factors, Merged, is_down
from qfedfm.aggregation.lowrank import singular
from qfedfm.aggregation.rule import Rule


class FedSVD(Rule):
    """The mean of B, then an SVD of the product."""

    kind: Literal["fedsvd"] = "fedsvd"

    fixed_coordinates: ClassVar[bool] = False

    def trains(self, name: str, round_number: int) -> bool:
        """Returns whether ``name`` is not a factor A."""
        return not is_down(name)

    def moved(self, name: str, round_number: int) -> bool:
        """Returns True: both factors come back changed."""
        return True

    def merge(self, found: Factors) -> Merged:
        """Returns the re-orthogonalised factors of ``B̄ Â``."""
        A, B = found.start[0], found.mean[1]
        if not bool(B.any()):
            return Merged(A, B)
        U, sigma, Vt = singular(B, A)
        return Merged(Vt, U * sigma)

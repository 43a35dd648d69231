"""The sum as the phase of a GHZ state. arXiv:2207.07444; Kómár et al., 2014, arXiv:1310.6045.

The server sends each of K clients one qubit of a GHZ state. Client k turns its qubit by

    θ_k = 0.9 π w_k x_k / (W B),     |x_k| ≤ B,    W = Σ w_k over the state's clients

and the returned state carries S = Σ θ_k and nothing else: measured in X on all qubits the parity has the mean
V cos S, in Y on one and X on the others V sin S. N states for each of the two give the estimate atan2, with

    Var(S) = [1 − (V²/2) sin² 2S] / (N V²)

as long as N V² is above about 25. Numbers outside ±B are clipped and counted; 0.9 keeps noise from
carrying a sum over ±π, where it would change its sign.

:mod:`.sampling` has the exact formula for any number of parameters, :mod:`.circuit` the circuit itself,
:mod:`.visibility` V, :mod:`.robust` phase estimation with multiples of the phase, :mod:`.verification` the
test against a server that sends other states.
"""

from __future__ import annotations

from qfedfm.security.summation.ghz_phase.config import GhzPhase

__all__ = ["GhzPhase"]

"""The sum in Fourier space, exact mod 2^m in one shot. Shi et al., 2016, doi:10.1038/srep19655.

The server prepares Σ_j |j⟩|j⟩ on 2m qubits, keeps one half as a copy and sends the other from client to
client. Client k multiplies |j⟩ by ω^(q_k j), ω = e^(2πi/2^m), with a signed integer q_k; back at the
server the copy is undone (it must then be 0), and the inverse Fourier transform shows Σ q_k mod 2^m:

    L = 2^(m-1) − 1 − K,   q_k = ⌊ w_k · clip(x_k, ±B) · L / B + u ⌋,   u uniform in [0, 1)

so that Σ|q_k| < 2^(m-1): the residue is the signed sum. A photon that is lost anywhere on the way is missing
at the end, and the number is sent again.
"""

from __future__ import annotations

from qfedfm.security.summation.qft_sum.config import QftSum

__all__ = ["QftSum"]

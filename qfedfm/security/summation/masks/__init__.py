"""Secure aggregation by pairwise masks that cancel. Bonawitz et al., 2017, doi:10.1145/3133956.3133982.

Client u of a job sends, mod 2^b,

    y_u = q_u + PRG(b_u) + Σ_{v > u} PRG(s_uv) − Σ_{v < u} PRG(s_uv)

with q_u its weighted update as integers (:mod:`.integers`), s_uv a fresh key of the pair and b_u its own.
Pairwise masks cancel in the sum. b_u is Shamir-shared (:mod:`.shamir`), and so is a secret r_u under which
u deposits its s_uv with the server, wrapped: of a client that is in the sum the others give shares of b_u, of
one that vanished those of r_u, and never both. The paper shares u's Diffie-Hellman key in place of r_u;
wrapping does the same for keys that no single private key yields (ML-KEM, QKD).

Phases: ``keys`` (and ``encapsulations`` for ML-KEM), ``shares``, ``inputs``, ``consistency`` (clients
sign who is in the sum, and unmask only what enough of them signed), ``unmasking``.
"""

from __future__ import annotations

from qfedfm.security.summation.masks.config import Masks, PairLink

__all__ = ["Masks", "PairLink"]

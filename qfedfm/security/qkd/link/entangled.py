"""Pairs, CHSH, and the same road to a key. Ekert, 1991; Bennett, Brassard, Mermin, 1992.

Alice measures along Z or X; Bob along Z, X, or one of the two diagonals. Equal axes make the key (X) and the
compared bits (Z); Alice's axes with Bob's diagonals make S.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qfedfm.core.random import Streams
from qfedfm.security.qkd.link.conversation import AuthenticationSeed, Conversation
from qfedfm.security.qkd.link.distillation import Distillation, Progress, Sifted, distil
from qfedfm.security.qkd.link.outcome import Abort, Outcome, SessionAborted, Statistics
from qfedfm.security.qkd.link.session import single_photon_proof

ALICE_AXES = (0.0, math.pi / 2)
BOB_AXES = (0.0, math.pi / 2, math.pi / 4, -math.pi / 4)
"""Angles on the Bloch sphere, radians: Z, X, and the diagonals between X and Z and between Z and -X."""


@dataclass(frozen=True)
class Pairs:
    """Outcomes of measured pairs; D pairs.

    Args:
        alice_axis: Index into ``ALICE_AXES``, (D,).
        bob_axis: Index into ``BOB_AXES``, (D,).
        alice: Alice's bits, (D,).
        bob: Bob's bits, (D,).
    """

    alice_axis: NDArray[np.uint8]
    bob_axis: NDArray[np.uint8]
    alice: NDArray[np.uint8]
    bob: NDArray[np.uint8]

    def correlation(self, a: int, b: int) -> float:
        """Returns E(a, b): how much more often bits agree than differ."""
        chosen = (self.alice_axis == a) & (self.bob_axis == b)
        return float(1 - 2 * (self.alice[chosen] != self.bob[chosen]).mean()) if chosen.any() else 0.0

    def chsh(self) -> float:
        """Returns S = E(Z, d) + E(X, d) + E(Z, d') - E(X, d')."""
        e = self.correlation
        return e(0, 2) + e(1, 2) + e(0, 3) - e(1, 3)


def measure_pairs(pairs: int, error: float, streams: Streams, intercepted: float = 0.0) -> Pairs:
    """Measures ``pairs`` Werner states whose error rate is ``error`` in every basis.

    Args:
        pairs: How many coincidences.
        error: e, in [0, 1/2]: the correlation along equal axes is 1 - 2e.
        streams: Where outcomes are drawn from.
        intercepted: Share of Bob's photons that Eve measured, along Z or X at random, and sent on.
    """
    rng = streams("pairs")
    alice_axis = rng.integers(0, 2, pairs, dtype=np.uint8)
    bob_axis = rng.integers(0, 4, pairs, dtype=np.uint8)
    a, b = np.array(ALICE_AXES)[alice_axis], np.array(BOB_AXES)[bob_axis]
    eve = np.array(ALICE_AXES)[rng.integers(0, 2, pairs)]
    hers = rng.random(pairs) < intercepted
    correlation = (1 - 2 * error) * np.where(hers, np.cos(a - eve) * np.cos(eve - b), np.cos(a - b))
    alice = rng.integers(0, 2, pairs, dtype=np.uint8)
    bob = alice ^ (rng.random(pairs) < (1 - correlation) / 2).astype(np.uint8)
    return Pairs(alice_axis, bob_axis, alice, bob)


def run_entangled_session(
    pairs: int,
    error: float,
    streams: Streams,
    *,
    intercepted: float = 0.0,
    options: Distillation | None = None,
    seed: AuthenticationSeed | None = None,
) -> Outcome:
    """Runs one session of E91; arguments as in :func:`measure_pairs` and ``session.run_session``.

    The session ends without a key if S does not exceed the classical bound of 2; the key's length rests on
    the error rates of both bases (Tomamichel et al., 2012), not on S.
    """
    options = options or Distillation()
    found = measure_pairs(pairs, error, streams, intercepted)
    conversation = Conversation(seed or AuthenticationSeed.fresh())
    used_before = conversation.seed.used_bits
    s = found.chsh()
    progress = Progress(Statistics(pulses=pairs, detections=pairs, chsh=s))
    try:
        conversation.send("sifting", np.packbits(found.alice_axis).tobytes())
        conversation.send("sifting", found.bob_axis.tobytes())
        diagonal = found.bob_axis >= 2
        conversation.send(
            "estimation",
            np.packbits(found.alice[diagonal]).tobytes() + np.packbits(found.bob[diagonal]).tobytes(),
        )
        if s <= 2:
            raise SessionAborted(
                "chsh", f"S is {s:.4f}, not above the classical bound of 2: the pairs are not entangled"
            )
        in_x = (found.alice_axis == 1) & (found.bob_axis == 1)
        in_z = (found.alice_axis == 0) & (found.bob_axis == 0)
        sifted = Sifted(found.alice[in_x], found.bob[in_x], found.alice[in_z], found.bob[in_z])
        proof = single_photon_proof(int(in_z.sum()), options)
        return distil(sifted, conversation, options, streams.at("public"), proof, progress)
    except SessionAborted as ended:
        progress.note(authentication_bits=conversation.seed.used_bits - used_before)
        return Abort(ended.reason, ended.message, str(ended), progress.statistics)

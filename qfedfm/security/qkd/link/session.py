"""A session of BB84 over a simulated link, from pulses to a typed outcome.

Weak coherent pulses with decoys follow Lim et al., 2014; single photons follow Tomamichel et al., 2012. Bits
in the X basis make the key, bits in Z are all compared.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from qfedfm.core.errors import RequestError
from qfedfm.core.random import Streams
from qfedfm.security.qkd.link.conversation import AuthenticationSeed, Conversation
from qfedfm.security.qkd.link.distillation import Distillation, Progress, Sifted, distil
from qfedfm.security.qkd.link.eve import PhotonNumberSplitting, Tampering
from qfedfm.security.qkd.link.outcome import Abort, Key, Outcome, SessionAborted, Statistics
from qfedfm.security.qkd.link.pulses import AnyEve, Detections, send_pulses
from qfedfm.security.qkd.rates import lim, tomamichel
from qfedfm.security.qkd.rates.presets import LinkParameters


def pulses_for(link: LinkParameters, distance: float, block: float) -> int:
    """Returns how many pulses give about ``block`` bits in the key basis."""
    return round(lim.model(link, distance, block).pulses)


def run_session(
    link: LinkParameters,
    distance: float,
    pulses: int,
    streams: Streams,
    *,
    eve: AnyEve | None = None,
    source: Literal["weak", "single"] = "weak",
    options: Distillation | None = None,
    seed: AuthenticationSeed | None = None,
) -> Outcome:
    """Runs one session.

    Args:
        link: The link.
        distance: Kilometres.
        pulses: Pulses to send.
        streams: Where the link's randomness is drawn from; seed them from ``secrets`` if the key is to be
            used.
        eve: Who is in the middle.
        source: Weak coherent pulses with decoys, or single photons.
        options: How sifted bits become a key.
        seed: The shared authentication seed; a key puts back what it used. A fresh one by default.
    """
    if source == "single" and isinstance(eve, PhotonNumberSplitting):
        raise RequestError("single photons cannot be split; use the weak source with photon_number_splitting")
    detections = send_pulses(link, distance, pulses, streams, eve=eve, source=source)
    return process(detections, link, streams, eve=eve, source=source, options=options, seed=seed)


def process(
    detections: Detections,
    link: LinkParameters,
    streams: Streams,
    *,
    eve: AnyEve | None = None,
    source: Literal["weak", "single"] = "weak",
    options: Distillation | None = None,
    seed: AuthenticationSeed | None = None,
) -> Outcome:
    """Returns the outcome of the classical part of a session; see :func:`run_session`."""
    options = options or Distillation()
    conversation = Conversation(
        seed or AuthenticationSeed.fresh(), eve if isinstance(eve, Tampering) else None
    )
    used_before = conversation.seed.used_bits
    progress = Progress(Statistics(pulses=detections.pulses, detections=len(detections.pulse)))
    try:
        in_x = detections.alice_x & detections.bob_x
        in_z = ~detections.alice_x & ~detections.bob_x
        conversation.send("sifting", detections.pulse.tobytes() + np.packbits(detections.bob_x).tobytes())
        conversation.send(
            "sifting", np.packbits(detections.alice_x).tobytes() + detections.intensity.tobytes()
        )
        sifted = Sifted(
            detections.alice[in_x], detections.bob[in_x], detections.alice[in_z], detections.bob[in_z]
        )
        proof: Callable[[NDArray[np.bool_], Statistics], tuple[float, float]]
        if source == "weak":
            proof = _decoys(detections, in_x, in_z, link, options)
        else:
            proof = single_photon_proof(len(sifted.alice_z), options)
        return distil(sifted, conversation, options, streams.at("public"), proof, progress)
    except SessionAborted as ended:
        progress.note(authentication_bits=conversation.seed.used_bits - used_before)
        return Abort(ended.reason, ended.message, str(ended), progress.statistics)


def _decoys(
    detections: Detections,
    in_x: NDArray[np.bool_],
    in_z: NDArray[np.bool_],
    link: LinkParameters,
    options: Distillation,
) -> Callable[[NDArray[np.bool_], Statistics], tuple[float, float]]:
    level_x, level_z = detections.intensity[in_x], detections.intensity[in_z]
    wrong = detections.alice[in_z] != detections.bob[in_z]

    def proof(kept: NDArray[np.bool_], statistics: Statistics) -> tuple[float, float]:
        # Which bits were compared does not depend on their intensity, so the bounds hold for those that
        # remain.
        counts = lim.Counts(
            _three(np.bincount(level_x[kept], minlength=3)),
            _three(np.bincount(level_z, minlength=3)),
            _three(np.bincount(level_z, weights=wrong, minlength=3)),
        )
        found = lim.bounds(
            counts,
            link.intensities,
            link.probabilities,
            statistics.leak,
            options.secrecy,
            options.correctness,
        )
        return found.length, found.phase_error

    return proof


def single_photon_proof(
    compared: int, options: Distillation
) -> Callable[[NDArray[np.bool_], Statistics], tuple[float, float]]:
    """Returns the key length of Tomamichel et al. for ``compared`` bits of the other basis."""

    def proof(kept: NDArray[np.bool_], statistics: Statistics) -> tuple[float, float]:
        n = int(kept.sum())
        phase = min(0.5, statistics.qber_z + tomamichel.deviation(n, compared, options.secrecy))
        bits = tomamichel.key_length(
            n, compared, statistics.qber_z, statistics.leak, options.secrecy, options.correctness
        )
        return bits, phase

    return proof


def _three(values: NDArray[np.generic]) -> lim.Three:
    return float(values[0]), float(values[1]), float(values[2])


__all__ = ["Abort", "Key", "Outcome", "process", "pulses_for", "run_session", "single_photon_proof"]

"""The quantum part of a session: pulses sent, attacked, lost and detected."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from qfedfm.core.random import Streams
from qfedfm.security.qkd.link.compiled import generator_state
from qfedfm.security.qkd.link.eve import (
    InterceptResend,
    NoEve,
    PhotonNumberSplitting,
    Tampering,
    attack_numbers,
)
from qfedfm.security.qkd.rates.presets import LinkParameters

AnyEve = NoEve | InterceptResend | PhotonNumberSplitting | Tampering
CHUNK = 1 << 22


@dataclass(frozen=True)
class Detections:
    """What happened, both sides of it; D detections.

    Args:
        pulses: Pulses sent.
        sent: Pulses by intensity and Alice's basis (Z, X), shape (3, 2).
        pulse: Number of each detected pulse, (D,) int64.
        intensity: Its intensity, 0 to 2, (D,).
        photons: How many photons Alice's source emitted, (D,).
        alice_x: Whether Alice sent in X, (D,) bool.
        bob_x: Whether Bob measured in X, (D,) bool.
        alice: Alice's bits, (D,).
        bob: Bob's bits, (D,).
    """

    pulses: int
    sent: NDArray[np.int64]
    pulse: NDArray[np.int64]
    intensity: NDArray[np.uint8]
    photons: NDArray[np.uint8]
    alice_x: NDArray[np.bool_]
    bob_x: NDArray[np.bool_]
    alice: NDArray[np.uint8]
    bob: NDArray[np.uint8]

    @property
    def sifted(self) -> NDArray[np.bool_]:
        """Where both used the same basis, (D,)."""
        same: NDArray[np.bool_] = self.alice_x == self.bob_x
        return same

    def gains(self) -> NDArray[np.float64]:
        """Returns detections per pulse sent, by intensity, (3,)."""
        found = np.bincount(self.intensity, minlength=3)
        gains: NDArray[np.float64] = found / np.maximum(self.sent.sum(axis=1), 1)
        return gains

    def errors(self) -> NDArray[np.float64]:
        """Returns the error rate of sifted detections by intensity, (3,)."""
        kept = self.sifted
        level = self.intensity[kept]
        wrong = np.bincount(level, weights=self.alice[kept] != self.bob[kept], minlength=3)
        rates: NDArray[np.float64] = wrong / np.maximum(np.bincount(level, minlength=3), 1)
        return rates


def send_pulses(
    link: LinkParameters,
    distance: float,
    pulses: int,
    streams: Streams,
    *,
    eve: AnyEve | None = None,
    source: Literal["weak", "single"] = "weak",
) -> Detections:
    """Sends ``pulses`` pulses and returns what was detected.

    Args:
        link: The link.
        distance: Kilometres.
        pulses: How many.
        streams: Where everything random is drawn from.
        eve: Who is in the middle.
        source: Weak coherent pulses, or one photon in each.
    """
    parts = list(_chunks(link, distance, pulses, streams, eve or NoEve(), source))
    packed = np.concatenate([part for part, _, _ in parts])
    number = np.concatenate([(part >> 16) + start for part, _, start in parts])
    sent = np.sum([counts for _, counts, _ in parts], axis=0)
    low = (packed & 0xFFFF).astype(np.uint16)
    return Detections(
        pulses,
        sent,
        number,
        ((low >> 4) & 3).astype(np.uint8),
        (low >> 8).astype(np.uint8),
        (low & 8) != 0,
        (low & 4) != 0,
        ((low >> 1) & 1).astype(np.uint8),
        (low & 1).astype(np.uint8),
    )


def _chunks(
    link: LinkParameters, distance: float, pulses: int, streams: Streams, eve: AnyEve, source: str
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], int]]:
    from qfedfm.security.qkd.link import pulse_kernel

    options = np.array(
        [
            *link.probabilities,
            *link.intensities,
            link.basis_x,
            link.basis_x,
            float(source == "single"),
        ]
    )
    channel = np.array(
        [
            link.efficiency(distance),
            link.misalignment,
            link.dark_count,
            link.after_pulse,
            link.dead_gates,
        ],
        dtype=np.float64,
    )
    attack = attack_numbers(eve, link, distance)
    state = generator_state(streams, "pulses")
    carried = np.array([-1, -1, 0, 0, 0], dtype=np.int64)
    room = np.empty(min(pulses, CHUNK), dtype=np.int64)
    for start in range(0, pulses, CHUNK):
        sent = np.zeros((3, 2), dtype=np.int64)
        found = pulse_kernel.send(
            min(CHUNK, pulses - start), options, channel, attack, state, carried, room, sent
        )
        assert found >= 0, "more detections than pulses"
        yield room[:found].copy(), sent, start


def expected_gains(link: LinkParameters, distance: float) -> tuple[list[float], list[float]]:
    """Returns (gain, error rate) per intensity of the pulses as they are simulated here.

    After-pulses repeat the last click in the next gate, whatever was sent there, so they add the same gain to
    every intensity; a detector that is blind for T gates after a click counts the share 1 / (1 + T Q).
    """
    eta = link.efficiency(distance)
    silent = (1 - link.dark_count) ** 2
    direct = [1 - silent * math.exp(-eta * mu) for mu in link.intensities]
    wrong = [_wrong(link.misalignment, eta * mu, link.dark_count) for mu in link.intensities]
    mean = sum(p * d for p, d in zip(link.probabilities, direct, strict=True))
    echo = link.after_pulse * mean
    for _ in range(20):  # an after-pulse may follow an after-pulse
        echo = link.after_pulse * (mean + (1 - mean) * echo)
    total = [d + (1 - d) * echo for d in direct]
    rate = sum(p * t for p, t in zip(link.probabilities, total, strict=True))
    seen = 1 / (1 + link.dead_gates * rate)
    # An echo is right or wrong with equal chances; beside a true click it is a coin where they differ.
    errors = [
        (w * (1 - echo) + echo * ((1 - d) * 0.5 + w * 0.75 + (d - w) * 0.25)) / t
        for w, d, t in zip(wrong, direct, total, strict=True)
    ]
    return [t * seen for t in total], errors


def _wrong(misalignment: float, mean: float, dark: float) -> float:
    """P(a wrong bit) of a pulse of mean photon number ``mean`` at the detectors: both click is a coin."""
    right_click = 1 - (1 - dark) * math.exp(-mean * (1 - misalignment))
    wrong_click = 1 - (1 - dark) * math.exp(-mean * misalignment)
    return wrong_click * (1 - right_click) + 0.5 * wrong_click * right_click

"""Named links: what fibre (or air), source and detectors are like."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from qfedfm.core.config import Config, nearest
from qfedfm.core.errors import RequestError

Probability = Annotated[float, Field(ge=0, lt=1)]


class LinkParameters(Config):
    """A link between two parties, without its length.

    Args:
        medium: ``fibre`` (loss grows with length) or ``free_space`` (a downlink; loss by diffraction).
        attenuation: Fibre, dB/km.
        fixed_loss: Further loss, dB: connectors, or atmosphere and pointing.
        divergence: Free space: full opening angle of the beam, radians.
        telescope: Free space: diameter of the receiving telescope, metres.
        receiver_efficiency: Probability that an arriving photon is detected.
        dark_count: Probability of a dark count per gate in each of the two detectors.
        after_pulse: Probability that a click is followed by a false one in the next gate.
        misalignment: Probability that a photon goes to the wrong detector.
        dead_gates: Gates for which both detectors are blind after a click.
        correction: Efficiency f of error correction that the formulas assume.
        intensities: Mean photon numbers (signal, decoy, weakest), each pulse.
        probabilities: How often each intensity is sent.
        basis_x: Probability of the X basis, for each party.
        pulse_rate: Pulses a second, Hz.
        sifting: Share of pulses that survive sifting in the asymptotic formulas (q).
    """

    medium: Literal["fibre", "free_space"] = "fibre"
    attenuation: Annotated[float, Field(ge=0)] = 0.2
    fixed_loss: Annotated[float, Field(ge=0)] = 0.0
    divergence: Annotated[float, Field(gt=0)] = 1e-5
    telescope: Annotated[float, Field(gt=0)] = 1.0
    receiver_efficiency: Annotated[float, Field(gt=0, le=1)] = 0.1
    dark_count: Probability = 6e-7
    after_pulse: Probability = 0.0
    misalignment: Annotated[float, Field(ge=0, le=0.5)] = 0.005
    dead_gates: Annotated[int, Field(ge=0)] = 0
    correction: Annotated[float, Field(ge=1)] = 1.16
    intensities: tuple[float, float, float] = (0.45, 0.2, 2e-4)
    probabilities: tuple[float, float, float] = (0.40, 0.45, 0.15)
    basis_x: Annotated[float, Field(gt=0, lt=1)] = 0.85
    pulse_rate: Annotated[float, Field(gt=0)] = 1e9
    sifting: Annotated[float, Field(gt=0, le=1)] = 0.5

    @property
    def background(self) -> float:
        """Y0: the probability of a click without a photon."""
        return 2 * self.dark_count

    def loss(self, distance: float) -> float:
        """Returns the channel's loss in dB over ``distance`` kilometres."""
        if self.medium == "fibre":
            return self.attenuation * distance + self.fixed_loss
        spot = self.divergence * distance * 1e3
        return max(0.0, 20 * math.log10(spot / self.telescope)) + self.fixed_loss

    def channel(self, distance: float) -> float:
        """Returns the channel's transmittance over ``distance`` kilometres."""
        return 10 ** (-self.loss(distance) / 10)

    def efficiency(self, distance: float) -> float:
        """Returns eta: the probability that a photon sent is detected."""
        return self.channel(distance) * self.receiver_efficiency


PRESETS: dict[str, LinkParameters] = {
    # Gobby, Yuan, Shields, 2004, as Ma et al., 2005, use it; the weakest intensity is the vacuum.
    "gys": LinkParameters(
        attenuation=0.21,
        receiver_efficiency=0.045,
        dark_count=0.85e-6,
        misalignment=0.033,
        correction=1.22,
        intensities=(0.48, 0.05, 0.0),
        probabilities=(0.7, 0.2, 0.1),
        basis_x=0.5,
        pulse_rate=2e6,
    ),
    # The model of Lim et al., 2014: InGaAs detectors with after-pulses.
    "lim2014": LinkParameters(after_pulse=0.04),
    # Superconducting nanowires and ultra-low-loss fibre.
    "modern_fibre": LinkParameters(
        attenuation=0.17,
        receiver_efficiency=0.8,
        dark_count=1e-8,
        misalignment=0.005,
        intensities=(0.5, 0.15, 2e-4),
        basis_x=0.9,
        pulse_rate=1e9,
    ),
    # Installed city fibre: splices and patch panels, gated InGaAs.
    "metropolitan": LinkParameters(
        attenuation=0.25,
        fixed_loss=2.0,
        receiver_efficiency=0.2,
        dark_count=1e-6,
        misalignment=0.01,
        intensities=(0.5, 0.15, 2e-4),
        basis_x=0.9,
        pulse_rate=1e9,
    ),
    # A low-orbit satellite over a 1 m telescope; distance is the slant range.
    "satellite_pass": LinkParameters(
        medium="free_space",
        fixed_loss=8.0,
        receiver_efficiency=0.5,
        dark_count=5e-7,
        misalignment=0.01,
        intensities=(0.6, 0.15, 0.0),
        probabilities=(0.6, 0.25, 0.15),
        basis_x=0.5,
        pulse_rate=1e8,
    ),
}
"""Link parameters by name."""


def preset(name: str) -> LinkParameters:
    """Returns the link named ``name``.

    Raises:
        RequestError: There is none of that name.
    """
    if name not in PRESETS:
        raise RequestError(f"there is no link preset {name!r}{nearest(name, PRESETS)}")
    return PRESETS[name]

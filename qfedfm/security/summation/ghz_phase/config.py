"""The options of the GHZ phase sum, and what they promise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from qfedfm.core.errors import RequestError
from qfedfm.core.random import Streams
from qfedfm.security.summation.binomial import LARGEST
from qfedfm.security.summation.ghz_phase.robust import LEVELS, check_plan, shots_for
from qfedfm.security.summation.ghz_phase.verification import Source, caught
from qfedfm.security.summation.ghz_phase.visibility import arrival, visibility
from qfedfm.security.summation.protocol import Promise, Summation, SumProtocol

#: Part of the half circle that sums may fill: the rest keeps noise from carrying one over ±π.
RANGE = 0.9
SHOTS = 4096
#: Least N V² for which the estimate's variance is what the formula says.
LEAST = 25.0


class GhzPhase(SumProtocol):
    """The sum as the phase of GHZ states.

    Args:
        bound: Largest absolute number of an update; larger ones are clipped and counted. The error is
            proportional to it: as small as the updates allow.
        shots: States for each quadrature (and level); null for 4,096, or with ``robust`` for as many as the
            visibility needs.
        depolarizing: Total probability of a Pauli error on a qubit in one channel.
        loss: Probability that a channel loses its qubit.
        lost: What happens then: ``repeated`` (it is noticed and the state sent again), or ``unnoticed`` (read
            at random, which lowers the visibility).
        channels: Noisy channels a qubit goes through: 1 in total, or 2 (there and back).
        clusters: How many GHZ groups the clients are split into.
        robust: Whether phases are estimated from multiples of the phase.
        levels: With ``robust``: the multiples 1, 2, ..., 2^(levels - 1).
        verify: Test states a round and group; 0 for none.
        source: What the server sends: ``ghz``, or to study attacks ``plus_one`` or ``plus_all``.
        executor: ``formula`` (the exact distribution of outcomes), or an executor that runs each circuit.
    """

    kind: Literal["ghz_phase"] = "ghz_phase"
    bound: Annotated[float, Field(gt=0)] = 0.1
    shots: Annotated[int, Field(ge=1, le=LARGEST)] | None = None
    depolarizing: Annotated[float, Field(ge=0, lt=0.75)] = 0.0
    loss: Annotated[float, Field(ge=0, lt=1)] = 0.0
    lost: Literal["repeated", "unnoticed"] = "repeated"
    channels: Annotated[int, Field(ge=1, le=2)] = 1
    clusters: Annotated[int, Field(ge=1)] = 1
    robust: bool = False
    levels: Annotated[int, Field(ge=2, le=16)] = LEVELS
    verify: Annotated[int, Field(ge=0)] = 0
    source: Source = "ghz"
    executor: str = "formula"

    exact: ClassVar[bool] = False
    contributes: ClassVar[str] = "turns"

    @model_validator(mode="after")
    def _sound(self) -> GhzPhase:
        if not self.robust and self.levels != LEVELS:
            raise RequestError("security.sum.levels belongs to robust true; set it, or leave levels out")
        if self.executor != "formula":
            from qfedfm.quantum import check_executor

            check_executor(self.executor)
            noisy = self.executor in ("aer:density_matrix", "pennylane:default.mixed")
            if self.depolarizing > 0 and not noisy:
                raise RequestError(
                    f"security.sum.executor {self.executor} has no noise, but depolarizing is "
                    f"{self.depolarizing}; use aer:density_matrix, pennylane:default.mixed or formula"
                )
            if self.source != "ghz":
                raise RequestError(
                    f"security.sum.source {self.source} is an attack, which only executor formula simulates; "
                    "use it, or source ghz"
                )
            if self.loss > 0 and self.lost == "unnoticed":
                raise RequestError(
                    "security.sum.lost is unnoticed, which only executor formula simulates; use it, or lost "
                    "repeated"
                )
        return self

    @property
    def phases(self) -> tuple[str, ...]:
        """A roll call, test states if there are any, the turns."""
        return ("roll", "tests", "turns") if self.verify else ("roll", "turns")

    @property
    def promise(self) -> Promise:
        """The threat model."""
        return Promise(
            hides_from="a server that sends GHZ states, by quantum mechanics alone (no keys)",
            malicious_server=self._malicious(),
            trusted="the server, to send GHZ states as far as tests do not show it; clients, to turn by what "
            "they have",
            server_sees="who is there, numbers of examples, and a noisy sum"
            + (" of each group" if self.clusters > 1 else ""),
            exactness="shot noise: 1/(V sqrt(N)) radians at sums near 0, bound/(0.9 π) each; "
            + (f"over 2^{self.levels - 1} with robust phase estimation" if self.robust else "N shots"),
        )

    def _malicious(self) -> str:
        read = "reads an update by sending that client |+⟩ in place of its part of the GHZ state"
        if not self.verify:
            return f"{read}; nothing is tested (verify 0)"
        chance = caught("plus_one", 3, self.verify, **self.noise())
        return (
            f"{read}; {self.verify} test states a round catch that with probability {chance:.4g}, if clients "
            "have coins and a channel that the server cannot forge"
        )

    def noise(self, *, unnoticed: bool = True) -> dict[str, Any]:
        """Returns the noise that states have when they are measured."""
        loss = self.loss if unnoticed and self.lost == "unnoticed" else 0.0
        return {"depolarizing": self.depolarizing, "loss": loss, "channels": self.channels}

    def visibility(self, clients: int) -> float:
        """Returns V of a state of so many clients."""
        return visibility(clients, **self.noise())

    def arrival(self, clients: int) -> float:
        """Returns the probability that a state does not have to be sent again."""
        return arrival(clients, self.loss, self.channels) if self.lost == "repeated" else 1.0

    def shots_each(self, clients: int) -> int:
        """Returns N for a state of so many clients."""
        if self.shots is not None:
            return self.shots
        return shots_for(self.visibility(clients), self.levels) if self.robust else SHOTS

    def check(self, clients: int) -> None:
        """Refuses a single client, groups of one, and plans whose estimates the formula does not cover."""
        if clients < 2 * self.clusters:
            raise RequestError(
                f"security.sum.clusters is {self.clusters}, but a round has {clients} clients and a group "
                f"needs two; use at most {max(1, clients // 2)} clusters and 2 clients or more"
            )
        largest = -(-clients // self.clusters)
        V, shots = self.visibility(largest), self.shots_each(largest)
        if self.robust:
            check_plan(V, shots, self.levels)
        elif shots * V**2 < LEAST:
            raise RequestError(
                f"security.sum.shots: {shots} shots with visibility {V:.3g} ({largest} clients a group) give "
                f"N V² = {shots * V**2:.3g}, and below {LEAST:g} estimates are no estimates; use more shots, "
                "more clusters or less noise"
            )
        if self.verify and caught("plus_one", largest, self.verify, **self.noise()) < 0.5:
            raise RequestError(
                f"security.sum.verify: {self.verify} test states with this noise would let a false source "
                "pass more often than not; use more of them, or 0"
            )

    def open(self, streams: Streams, last: Mapping[str, Any] | None = None) -> Summation:
        """Returns the protocol in use."""
        from qfedfm.security.summation.ghz_phase.summation import GhzSummation

        return GhzSummation(self, streams)

"""The options of the QFT sum, and what they promise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from qfedfm.core.errors import RequestError
from qfedfm.core.random import Streams
from qfedfm.security.summation.protocol import Promise, Summation, SumProtocol


class QftSum(SumProtocol):
    """The exact sum of integers mod 2^bits, one shot a number.

    Args:
        bits: m; a number travels as so many qubits, and the server keeps as many.
        bound: Largest absolute number of an update; larger ones are clipped and counted.
        loss: Probability that a photon is lost on the way from one party to the next.
        executor: ``formula`` (the distribution of outcomes, here the sum itself), or an executor that runs
            each circuit.
    """

    kind: Literal["qft_sum"] = "qft_sum"
    bits: Annotated[int, Field(ge=3, le=32)] = 24
    bound: Annotated[float, Field(gt=0)] = 1.0
    loss: Annotated[float, Field(ge=0, lt=1)] = 0.0
    executor: str = "formula"

    sum_phases: ClassVar[tuple[str, ...]] = ("roll", "turns")
    contributes: ClassVar[str] = "turns"

    @model_validator(mode="after")
    def _sound(self) -> QftSum:
        if self.executor != "formula":
            from qfedfm.quantum import check_executor

            check_executor(self.executor)
        return self

    @property
    def promise(self) -> Promise:
        """The threat model."""
        return Promise(
            hides_from="a server that follows the protocol, by quantum mechanics alone (no keys)",
            malicious_server="reads an update if the clients before and after it help, or if it prepares "
            "other states: nothing is tested",
            trusted="the server as initiator: it prepares, checks its copy and measures",
            server_sees="who is there, numbers of examples, and the sum",
            exactness=f"the integer sum exactly; rounding to steps of bound/2^{self.bits - 1}; one lost "
            "photon costs the number's whole round trip",
        )

    def levels(self, clients: int) -> int:
        """Returns L, the step that a number at the bound is rounded to."""
        return (1 << (self.bits - 1)) - 1 - clients

    def arrival(self, clients: int) -> float:
        """Returns the probability that all photons of a number come back, on K + 1 ways."""
        return float((1.0 - self.loss) ** (self.bits * (clients + 1)))

    def check(self, clients: int) -> None:
        """Refuses sums over one client, too few bits, and losses that let nothing through."""
        if clients < 2:
            raise RequestError(
                "security.sum qft_sum over one client a round would be that client's update; use "
                "federation.cohort 2 or more"
            )
        if self.levels(clients) < clients:
            raise RequestError(
                f"security.sum.bits is {self.bits}, but sums of {clients} clients need at least "
                f"{(2 * clients + 1).bit_length() + 1}: rounding alone could fill them"
            )
        if self.arrival(clients) < 1e-6:
            raise RequestError(
                f"security.sum.loss: of {self.bits} photons on {clients + 1} ways all arrive with "
                f"probability {self.arrival(clients):.1g}; use less loss, fewer bits or fewer clients"
            )

    def open(self, streams: Streams, last: Mapping[str, Any] | None = None) -> Summation:
        """Returns the protocol in use."""
        from qfedfm.security.summation.qft_sum.summation import QftSummation

        return QftSummation(self, streams)

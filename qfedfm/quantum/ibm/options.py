"""The named settings of a job; what has no effect where the job runs is refused, never ignored."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from qfedfm.core.config import Config
from qfedfm.core.errors import RequestError

Fit = Literal["linear", "richardson"]
Decoupling = Literal["none", "XX", "XpXm", "XY4"]
Mode = Literal["job", "batch", "session"]


class Zne(Config):
    """Extrapolation to zero noise by folding two-qubit gates. Giurgica-Tiron et al., 2020, arXiv:2005.10921.

    Args:
        scales: How often each two-qubit gate stands: odd, 1 among them, at least two.
        fit: ``linear`` is a least-squares line; ``richardson`` the polynomial through all scales.
    """

    scales: tuple[int, ...] = (1, 3, 5)
    fit: Fit = "linear"

    @field_validator("scales")
    @classmethod
    def _odd(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) < 2 or len(set(value)) != len(value) or 1 not in value:
            raise RequestError(f"zne scales are {list(value)}; give two or more different ones, 1 among them")
        if any(scale < 1 or scale % 2 == 0 for scale in value):
            raise RequestError(f"zne scales are {list(value)}; a gate can be folded to 1, 3, 5, ... gates")
        return tuple(sorted(value))


class HardwareOptions(Config):
    """Training with hardware in the loop: the circuit of every training step is a job, within a budget.

    Evaluation between rounds is by exact simulation, which costs nothing; ``qfedfm ibm submit RUN`` evaluates
    the trained head on hardware.

    Args:
        max_jobs: The most jobs of the whole run.
        max_seconds: The most seconds on the processor of the whole run (for a fake backend as estimated).
        shots: Measured bit strings of each circuit.
        gradient: ``spsa`` evaluates each sample at two more points, ``exact`` (parameter shift) at two more
            for each angle; either way in the same job as the value.
        mode: ``batch`` and ``session`` keep a real processor between jobs.
    """

    max_jobs: Annotated[int, Field(ge=1)]
    max_seconds: Annotated[float, Field(gt=0)]
    shots: Annotated[int, Field(ge=1, le=10_000_000)] = 1024
    gradient: Literal["spsa", "exact"] = "spsa"
    mode: Mode = "job"


class JobOptions(Config):
    """How a job is transpiled and run.

    Args:
        shots: Measured bit strings of each circuit at each point.
        optimization_level: Of Qiskit's transpiler, 0 to 3.
        seed: Seeds the transpiler, and the simulator of a fake backend.
        readout_mitigation: Whether the job also measures all zeros and all ones and the inverse of each
            qubit's readout matrix is applied.
        zne: Extrapolation to zero noise; null for none.
        twirling: Whether gates and measurements are twirled over Pauli operators.
        dynamical_decoupling: Pulses on idle qubits; real backends only (the noise of a fake backend has no
            slow part that they could undo).
        mode: ``batch`` and ``session`` keep the processor between jobs where the plan allows it; real
            backends only.
    """

    shots: Annotated[int, Field(ge=1, le=10_000_000)] = 4096
    optimization_level: Annotated[int, Field(ge=0, le=3)] = 3
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 7
    readout_mitigation: bool = False
    zne: Zne | None = None
    twirling: bool = False
    dynamical_decoupling: Decoupling = "none"
    mode: Mode = "job"

    def check(self, *, fake: bool, two_qubit_gates: int) -> None:
        """Refuses settings that would have no effect.

        Args:
            fake: Whether the backend is a fake one.
            two_qubit_gates: Of the transpiled circuit.

        Raises:
            RequestError: Says which setting, and why.
        """
        if fake and self.dynamical_decoupling != "none":
            raise RequestError(
                "dynamical decoupling has no effect on a fake backend (its noise has no slow part to undo); "
                "leave it out, or name a real backend"
            )
        if fake and self.mode != "job":
            raise RequestError(f"mode {self.mode} has no effect on a fake backend; leave it out")
        if self.zne is not None and two_qubit_gates == 0:
            raise RequestError("zne folds two-qubit gates, and the transpiled circuit has none; leave it out")
